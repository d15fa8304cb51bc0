/** Act three: why a CNN. The networks side by side on the photo and on its guises. */

import { $, el } from "./dom.js";
import { count, percent, plural } from "./format.js";
import { guise, shortVerdict, subject } from "./words.js";

const PLAIN = {
  cat: "the best one: starts from ImageNet, judges each place of the photo",
  tutorial: "the chapter's CNN: five convolutions, five poolings",
  dense: "the chapter's ordinary network: no filters, a weight for every number",
};

/** Say what is coming, before there is an answer. */
export function wait() {
  $("why-body").replaceChildren(el("p", { class: "quiet", "aria-busy": "true" }, "Asking every network about twelve guises of your photo …"));
}

/** Show an answer of /guises beside what GET /models says of the networks; `command` is the curl that asks the same. */
export function show(answer, networks, command) {
  const order = ["cat", "tutorial", "dense"];
  const rank = ({ network }) => (order.indexOf(network) + order.length + 1) % (order.length + 1);
  const shown = networks.filter(({ network }) => network in answer.kept).sort((a, b) => rank(a) - rank(b));
  const many = answer.guises.length;
  const head = el("tr", {}, el("td", {}), shown.map((network) => el("th", { scope: "col" }, heading(network))));
  const rows = answer.guises.map((one) =>
    el(
      "tr",
      { "data-guise": one.guise },
      el("th", { scope: "row" }, el("span", { class: "who" }, el("img", { src: one.thumbnail, alt: "" }), el("span", {}, guise(one.guise)))),
      shown.map(({ network }) => cell(one.networks[network])),
    ),
  );
  const kept = el(
    "tr",
    { class: "kept" },
    el("th", { scope: "row" }, "the same label as for the original"),
    shown.map(({ network }) => el("td", {}, `${answer.kept[network]} of ${many}`)),
  );
  $("why-body").replaceChildren(
    el("p", { class: "lead" }, ...lead(networks)),
    el(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "The networks on twelve guises" },
      el("table", { class: "guises" }, el("thead", {}, head), el("tbody", {}, rows), el("tfoot", {}, kept)),
    ),
    el("p", { class: "quiet" }, "Marked is where a network changes its mind, from cat to no cat or back, over what is the same photo. Keeping an answer is worth something only if it is right: look at the first row first."),
    el("details", { class: "curl" }, el("summary", {}, "The curl that asks this"), el("pre", { tabindex: 0 }, el("code", {}, command))),
  );
}

function lead(networks) {
  const dense = networks.find(({ network }) => network === "dense");
  if (!dense) return ["The same photo in twelve guises: does each network still know what it shows?"];
  const [height, width, colours] = dense.input_shape;
  return [
    `The ordinary network reads the photo as one row of ${height} × ${width} × ${colours} = ${count(height * width * colours)} numbers, each with weights of its own: move the cat a little, and other weights meet it. `,
    "A convolutional network looks for the same patterns everywhere. Same photo, twelve guises: who still knows what it shows?",
  ];
}

function heading({ network, parameters, accuracy }) {
  const measured = accuracy.pooled;
  return [
    el("strong", {}, network),
    el("span", { class: "quiet" }, plural(parameters, "parameter")),
    measured ? el("span", { class: "quiet" }, `right on ${percent(measured)} of the validation photos`) : null,
    PLAIN[network] ? el("span", { class: "quiet plain" }, PLAIN[network]) : null,
  ].filter(Boolean);
}

function cell({ label, verdict, probabilities, same }) {
  const likely = probabilities[subject({ label, probabilities })];
  const says = verdict === "unsure" ? `unsure, rather ${shortVerdict(label)}` : shortVerdict(verdict);
  return el(
    "td",
    { class: same ? null : "changed", "data-value": likely },
    el("span", { class: "share", "aria-hidden": "true" }, el("span", { style: { width: `${likely * 100}%` } })),
    el("span", { class: "number" }, percent(likely)),
    el("span", { class: `verdict ${verdict}` }, says, same ? null : ", changed"),
  );
}
