/** A job that is done comes in; how good its network is, what it got wrong, and where to go from there go out. */
// @ts-check

import { el } from "../basics/dom.js";
import { percent, plural, share } from "../basics/format.js";
import { curl } from "./job.js";

/** @import { Figure, Job, Metrics, Mistake, Sent } from "./types.js" */

/**
 * @typedef {object} Ways where a result leads
 * @property {(network: string, file?: File) => void} look the walk, with a network and a photo
 * @property {Sent} sent the photos, where they are still here
 */

const SHOWN = 12; // mistakes, until all are asked for

/** @type {string[]} object URLs of the newest result */
let urls = [];

/**
 * @param {Job} job
 * @param {Metrics} metrics
 * @param {Ways} ways
 */
export function result(job, metrics, ways) {
  for (const url of urls) URL.revokeObjectURL(url);
  urls = [];
  const classes = Object.keys(job.classes);
  const { accuracy, mistakes, unsure, decided_accuracy } = metrics;
  const right = `Right about ${share(accuracy.value)} of ${plural(accuracy.count, "photo")} that it had not seen`;
  const decides = `Where it is in doubt it says so, about ${share(unsure)} of them; of the others it was right about`;
  return el(
    "section",
    { class: "result", "aria-labelledby": "taught-title" },
    el("h3", { id: "taught-title", tabindex: -1 }, `“${job.network}” is taught.`),
    el("p", { class: "figure" }, `${right} (95 % interval: ${interval(accuracy)}).`),
    el("p", { class: "quiet" }, `${unsure ? `${decides} ${share(decided_accuracy)}. ` : ""}${how(metrics)}`),
    job.warnings.length ? el("ul", { class: "warnings" }, ...job.warnings.map((warning) => el("li", {}, warning))) : null,
    tryIt(job.network, ways),
    el("h4", { id: "said-title" }, "What it said of photos that it had not seen"),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-labelledby": "said-title" }, table(classes, metrics)),
    mistakes.length ? wrong(job.network, mistakes, ways) : el("p", {}, "It got none of them wrong."),
    job.skipped.length ? skipped(job) : null,
    el(
      "details",
      { class: "curl" },
      el("summary", {}, "The same with curl, from a folder that holds a folder for each class"),
      el("pre", { tabindex: 0 }, el("code", {}, curl(classes, job.network))),
    ),
  );
}

/** @param {Figure} figure */
const interval = ({ low, high }) => `${share(low)} to ${share(high)}`;

/** @param {Metrics} metrics */
function how({ folds, alike }) {
  const together = alike ? ` ${plural(alike, "photo")} that look like another were kept with it.` : "";
  return `Each photo was answered by a network that was taught without it (${folds}-fold cross-validation).${together}`;
}

/**
 * @param {string} network
 * @param {Ways} ways
 */
function tryIt(network, { look }) {
  const picker = el("input", { type: "file", class: "hidden-input", accept: "image/*,.heic,.heif" });
  picker.addEventListener("change", () => picker.files?.[0] && look(network, picker.files[0]));
  return el(
    "div",
    { class: "try" },
    el("label", { class: "button primary" }, "Try it on a photo", picker),
    el("button", { type: "button", onclick: () => look(network) }, "Open it"),
    el("span", { class: "quiet" }, "The walk shows the evidence for each class, and every step."),
  );
}

/**
 * The table of confusion, with each class's recall.
 *
 * @param {string[]} classes
 * @param {Metrics} metrics
 */
function table(classes, { confusion, recall }) {
  /** @param {string} name */
  const head = (name) => el("th", { scope: "col" }, name);
  /** @param {string} name */
  const said = (name) => el("th", { scope: "col" }, el("span", {}, "said"), ` ${name}`);
  const rows = classes.map((name, row) => {
    const all = confusion[row].reduce((sum, n) => sum + n, 0);
    const cells = confusion[row].map((n, column) => {
      const kind = row === column ? "hit" : n ? "missed" : "zero";
      return el("td", { class: kind, style: { "--share": n / (all || 1) } }, String(n));
    });
    const figure = recall[name];
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, name),
      el("td", { class: "recall" }, figure ? share(figure.value) : "–"),
      el("td", { class: "quiet" }, figure ? interval(figure) : ""),
      ...cells,
    );
  });
  return el(
    "table",
    { class: "confusion" },
    el("thead", {}, el("tr", {}, head("photos of"), head("right"), head("95 % interval"), ...classes.map(said))),
    el("tbody", {}, ...rows),
  );
}

/**
 * @param {string} network
 * @param {Mistake[]} mistakes
 * @param {Ways} ways
 */
function wrong(network, mistakes, ways) {
  const figures = mistakes.map((mistake) => picture(network, mistake, ways));
  const list = el("div", { class: "mistakes" }, ...figures.slice(0, SHOWN));
  const more = el("button", { type: "button", class: "link" }, `Show all ${mistakes.length}`);
  more.addEventListener("click", () => {
    list.append(...figures.slice(SHOWN));
    figures[SHOWN].querySelector("button")?.focus();
    more.remove();
  });
  return el(
    "div",
    {},
    el("h4", {}, "What it got wrong among photos that it had not seen"),
    el("p", { class: "quiet" }, "Is one in the wrong class? Take it out above, add it where it belongs, and teach again."),
    list,
    mistakes.length > SHOWN ? more : null,
  );
}

/**
 * @param {string} network
 * @param {Mistake} mistake
 * @param {Ways} ways
 */
function picture(network, { name, shows, said, probability }, { look, sent }) {
  const file = sent.get(name);
  const caption = el(
    "figcaption",
    {},
    el("strong", {}, shows),
    `, it said ${said} (${percent(probability)})`,
    el("span", { class: "file" }, name.slice(shows.length + 1)),
  );
  if (!file) return el("figure", {}, el("span", { class: "unshown" }, "not on this page"), caption);
  const url = URL.createObjectURL(file);
  urls.push(url);
  const image = el("img", { src: url, alt: "", loading: "lazy" });
  image.addEventListener("error", () => image.replaceWith(el("span", { class: "unshown" }, file.name)));
  const label = `Follow ${file.name} through the network`;
  const open = { type: "button", class: "plain", "aria-label": label, title: label, onclick: () => look(network, file) };
  return el("figure", {}, el("button", open, image), caption);
}

/** @param {Job} job */
function skipped(job) {
  const rows = job.skipped.map(({ name, why }) => el("li", {}, el("strong", {}, name), `: ${why}`));
  return el(
    "details",
    {},
    el("summary", {}, `${plural(rows.length, "file")} not used`),
    el("ul", { class: "skipped" }, ...rows),
  );
}
