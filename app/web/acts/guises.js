/** Act three: why a CNN. The networks side by side on the photo and its guises. */
// @ts-check

import { $, el } from "../basics/dom.js";
import { count, percent, plural } from "../basics/format.js";
import { guise, mainClass, networkIs, networkName, shortVerdict } from "../basics/words.js";

/** @import { GuiseNetworkAnswer, Guises, NetworkAnswer } from "../types.js" */

/** Say what is coming, before there is an answer. */
export function wait() {
  const text = "Asking every network about your photo in twelve guises …";
  $("why-body").replaceChildren(el("p", { class: "quiet", "aria-busy": "true" }, text));
}

/**
 * Show an answer of /guises; `command` is the curl command that sends the same request.
 *
 * @param {Guises} answer
 * @param {NetworkAnswer[]} networks
 * @param {string} command
 */
export function show(answer, networks, command) {
  const order = ["cat", "tutorial", "dense"];
  /** @param {NetworkAnswer} network */
  const rank = ({ network }) => (order.indexOf(network) + order.length + 1) % (order.length + 1);
  const shown = networks.filter(({ network }) => network in answer.kept).sort((a, b) => rank(a) - rank(b));
  const head = el("tr", {}, el("td", {}), ...shown.map((network) => el("th", { scope: "col" }, heading(network))));
  const rows = answer.guises.map((one) =>
    el(
      "tr",
      { "data-guise": one.guise },
      el(
        "th",
        { scope: "row" },
        el("span", { class: "who" }, el("img", { src: one.thumbnail, alt: "" }), el("span", {}, guise(one.guise))),
      ),
      ...shown.map(({ network }) => cell(one.networks[network])),
    ),
  );
  const kept = el(
    "tr",
    { class: "kept" },
    el("th", { scope: "row" }, "same label as for the original"),
    ...shown.map(({ network }) => el("td", {}, `${answer.kept[network]} of ${answer.guises.length}`)),
  );
  const note =
    "Highlighted is where a network changes its mind about what is still the same photo. A steady answer is worth something " +
    "only if it is right, so look at the first row first.";
  $("why-body").replaceChildren(
    el("p", { class: "lead" }, lead(networks)),
    el(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Every network's answer to twelve guises" },
      el("table", { class: "guises" }, el("thead", {}, head), el("tbody", {}, ...rows), el("tfoot", {}, kept)),
    ),
    el("p", { class: "quiet" }, note),
    el(
      "details",
      { class: "curl" },
      el("summary", {}, "The same request with curl"),
      el("pre", { tabindex: 0 }, el("code", {}, command)),
    ),
  );
}

/** @param {NetworkAnswer[]} networks */
function lead(networks) {
  const dense = networks.find(({ network }) => network === "dense");
  if (!dense) return "The same photo in twelve guises: does each network still recognise it?";
  const [height, width, colours] = dense.input_shape;
  return (
    `The ordinary network reads the photo as one row of ${height} × ${width} × ${colours} = ` +
    `${count(height * width * colours)} numbers, each with weights of its own: move the cat a little, and it meets other ` +
    "weights. A convolutional network looks for the same patterns everywhere. Same photo, twelve guises: which network still " +
    "recognises it?"
  );
}

/** @param {NetworkAnswer} network */
function heading({ network, parameters, accuracy }) {
  const measured = accuracy.pooled;
  const plain = networkIs(network);
  return [
    el("strong", {}, networkName(network)),
    networkName(network) === network ? null : el("code", {}, network),
    el("span", { class: "quiet" }, plural(parameters, "parameter")),
    measured ? el("span", { class: "quiet" }, `right on ${percent(measured)} of the validation photos`) : null,
    plain ? el("span", { class: "quiet plain" }, plain) : null,
  ];
}

/** @param {GuiseNetworkAnswer} answer */
function cell({ label, verdict, probabilities, same }) {
  const probability = probabilities[mainClass({ label, probabilities })];
  const words = verdict === "unsure" ? `unsure, leaning towards ${shortVerdict(label)}` : shortVerdict(verdict);
  return el(
    "td",
    { class: same ? null : "changed", "data-value": probability },
    el("span", { class: "share", "aria-hidden": "true" }, el("span", { style: { width: `${probability * 100}%` } })),
    el("span", { class: "number" }, percent(probability)),
    el("span", { class: `verdict ${verdict}` }, words, same ? null : ", changed"),
  );
}
