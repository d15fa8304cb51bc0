/** Act three: why a CNN. The networks side by side on the photo and its guises. */
// @ts-check

import { $, el, speak } from "../basics/dom.js";
import { count, percent, plural, share } from "../basics/format.js";
import { guise, mainClass, networkIs, networkName, shortVerdict } from "../basics/words.js";

/** @import { GuiseNetworkAnswer, Guises, NetworkAnswer } from "../types.js" */

/** @typedef {"cat" | "not_cat" | null} Truth what the visitor says; null: nothing yet */

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
  const table = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Every network's answers" });
  /** @param {Truth} truth */
  const draw = (truth) => table.replaceChildren(tableOf(answer, shown, truth));
  draw(null);
  const photos = shown[0]?.photos;
  const all = photos ? ` Small: how often it is right about all ${count(photos)} validation photos in that guise.` : "";
  $("why-body").replaceChildren(
    el("p", { class: "lead" }, lead(networks)),
    ...(shown.every(({ classes }) => classes.includes("cat")) ? [question(answer, shown, draw)] : []),
    table,
    el(
      "p",
      { class: "quiet" },
      `Highlighted is where a network changes its mind, or is wrong once you have answered.${all}`,
    ),
    el(
      "details",
      { class: "curl" },
      el("summary", {}, "The same request with curl"),
      el("pre", { tabindex: 0 }, el("code", {}, command)),
    ),
  );
}

/**
 * Only the visitor knows whether there is a cat: with their answer, the networks' can be counted.
 *
 * @param {Guises} answer
 * @param {NetworkAnswer[]} shown
 * @param {(truth: Truth) => void} draw
 */
function question(answer, shown, draw) {
  const buttons = ["cat", "not_cat"].map((truth) =>
    el(
      "button",
      { type: "button", class: "chip", "aria-pressed": "false", "data-truth": truth },
      truth === "cat" ? "Yes" : "No",
    ),
  );
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const truth = button.dataset.truth === "cat" ? "cat" : "not_cat";
      for (const one of buttons) one.setAttribute("aria-pressed", String(one === button));
      draw(truth);
      const counts = shown.map(({ network }) => `${networkName(network)} is right ${times(answer, network, truth)}`);
      speak(`${counts.join(", ")}.`);
    });
  }
  const label = "Is there a cat in your photo?";
  return el("div", { class: "question", role: "group", "aria-label": label }, el("strong", {}, label), ...buttons);
}

/**
 * @param {Guises} answer
 * @param {NetworkAnswer[]} shown
 * @param {Truth} truth
 */
function tableOf(answer, shown, truth) {
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
      ...shown.map((network) => cell(one.networks[network.network], truth, network.guises[one.guise])),
    ),
  );
  const what = truth ? "right answers" : "same label as for the original";
  const total = el(
    "tr",
    { class: "kept" },
    el("th", { scope: "row" }, what),
    ...shown.map(({ network }) => el("td", {}, truth ? times(answer, network, truth) : keptOf(answer, network))),
  );
  return el("table", { class: "guises" }, el("thead", {}, head), el("tbody", {}, ...rows), el("tfoot", {}, total));
}

/**
 * @param {Guises} answer
 * @param {string} network
 */
const keptOf = ({ kept, guises }, network) => `${kept[network]} of ${guises.length}`;

/**
 * How often a network is right.
 *
 * @param {Guises} answer
 * @param {string} network
 * @param {Truth} truth
 */
const times = ({ guises }, network, truth) =>
  `${guises.filter(({ networks }) => networks[network].label === truth).length} of ${guises.length} times`;

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
    measured ? el("span", { class: "quiet" }, `right on ${share(measured)} of the validation photos`) : null,
    plain ? el("span", { class: "quiet plain" }, plain) : null,
  ];
}

/**
 * @param {GuiseNetworkAnswer} answer
 * @param {Truth} truth
 * @param {number | undefined} measured the network's accuracy in that guise
 */
function cell({ label, verdict, probabilities, same }, truth, measured) {
  const probability = probabilities[mainClass({ label, probabilities })];
  const words = ["unsure", "unfamiliar"].includes(verdict)
    ? `${verdict}, rather ${shortVerdict(label)}`
    : shortVerdict(verdict);
  const isMarked = truth ? label !== truth : !same;
  const mark = truth ? (isMarked ? ", wrong" : ", right") : isMarked ? ", changed" : null;
  return el(
    "td",
    { class: isMarked ? (truth ? "changed wrong" : "changed") : null, "data-value": probability },
    el("span", { class: "share", "aria-hidden": "true" }, el("span", { style: { width: `${probability * 100}%` } })),
    el("span", { class: "number" }, percent(probability)),
    el("span", { class: `verdict ${verdict}` }, words, mark),
    measured === undefined
      ? null
      : el("span", { class: "measured", "data-value": measured }, `of all photos ${share(measured)}`),
  );
}
