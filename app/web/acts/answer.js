/** Act one: the answer in a sentence, with its probability and the evidence laid over the photo. */
// @ts-check

import { $, el, find, speak } from "../basics/dom.js";
import { number, percent } from "../basics/format.js";
import { gradient } from "../basics/palette.js";
import { isAboutCats, label, mainClass, networkName, verdict } from "../basics/words.js";

/** @import { ImageAnswer, Photo, Prediction } from "../types.js" */

/** @type {Record<string, string>} */
const STEPS = { decode: "decoding", inference: "network", feature_maps: "feature maps", heatmap: "heatmap" };
const MOST_CLASSES = 20; // that are listed, the likeliest first; of more, the first FEW
const FEW = 5;
const CONTOURS = [0.25, 0.5, 0.75]; // of the strongest evidence, as app/inference/heatmap.py draws them
const MIN_PIXELS = 200; // of the longer side; smaller photos are shown enlarged

/** @typedef {{ photo: Photo, prediction: Prediction, edits: string | null, view: { opacity: number } }} Newest */

/** @type {Newest | null} */
let newest = null;

/** The photo on the page with its newest answer, once there is one. */
export const onPage = () => newest;

/**
 * Show the photo at once, while its answer is on the way.
 *
 * @param {Photo} photo
 */
export function wait(photo) {
  find($("photo"), ".empty").hidden = true;
  const image = el("img", { src: photo.url, alt: `The photo ${photo.name}`, class: "shown" });
  image.addEventListener("error", () => $("picture").classList.add("unshown"), { once: true });
  image.addEventListener("load", () => enlarge(image), { once: true });
  $("picture").classList.remove("unshown");
  $("picture").replaceChildren(el("div", { class: "frame" }, image));
  $("picture").hidden = false;
  $("verdict").textContent = "Looking …";
  $("result").replaceChildren();
  $("answer").setAttribute("aria-busy", "true");
}

/**
 * Show an answer of /predict. `view.opacity` (0..1) is how strongly the evidence covers the photo; a slider changes it. `band`
 * is the network's [low, high] of probabilities in which it is unsure. `own` is its own answer, where the visitor changed it
 * by `edits`.
 *
 * @param {Prediction} answer
 * @param {{ photo: Photo, view: { opacity: number }, band: [number, number] | undefined, own?: Prediction | null,
 *   edits?: string | null }} options
 */
export function show(answer, { photo, view, band, own, edits = null }) {
  const main = mainClass(answer);
  const probability = answer.probabilities[main];
  const what = named(main);
  $("answer").removeAttribute("aria-busy");
  $("verdict").textContent = verdict(answer.verdict);
  speak(`${verdict(answer.verdict)} ${percent(probability)} probability of ${what}.`);
  const meter = {
    class: "meter",
    role: "meter",
    "aria-valuemin": 0,
    "aria-valuemax": 1,
    "aria-valuenow": probability,
    "aria-valuetext": percent(probability) + (own ? `, unchanged ${percent(own.probabilities[main])}` : ""),
    "aria-label": `Probability of ${what}`,
  };
  const lines = [
    el(
      "p",
      { class: "probability", "data-value": probability },
      el("strong", {}, percent(probability)),
      ` probability of ${what}, according to `,
      networkName(answer.model.network) === answer.model.network ? null : `${networkName(answer.model.network)}, `,
      el("code", {}, answer.model.network),
    ),
    el("div", meter, el("span", { style: { width: `${probability * 100}%` } }), own ? ghost(own.probabilities[main]) : null),
    isAboutCats(answer.probabilities)
      ? null
      : el("div", { class: "chips", role: "group", "aria-label": "Evidence for" }, classes(answer)),
    answer.verdict === "unsure" && band
      ? el("p", {}, `Between ${percent(band[0])} and ${percent(band[1])} this network is wrong too often to decide.`)
      : null,
    answer.verdict === "unfamiliar"
      ? el("p", {}, "No photo that it was taught looks like this one; its probabilities say little.")
      : null,
    el("div", { id: "evidence" }),
    el("div", { class: "correcting" }, el("button", { type: "button", class: "link", onclick: correct }, "That’s wrong")),
    el("p", { class: "quiet timings" }, times(answer.timings_ms)),
  ];
  $("result").replaceChildren(...lines.filter((line) => line !== null));
  newest = { photo, prediction: answer, edits, view };
  showEvidence(answer, view);
}

/**
 * Lay the evidence for a class over the photo.
 *
 * @param {Prediction} answer
 * @param {{ opacity: number }} view
 */
export function showEvidence({ heatmap, heatmap_peak, heatmap_class }, view) {
  const what = named(heatmap_class ?? "it");
  for (const old of $("picture").querySelectorAll(".heat")) old.remove();
  const heat = heatmap && el("img", { src: heatmap, alt: "", class: "heat", style: { opacity: view.opacity } });
  if (heat) find($("picture"), ".frame").append(heat);
  const closest = heat ? " The line marks what comes closest." : "";
  const none = `No part of this photo is evidence for ${what}.${closest}`;
  $("evidence").replaceChildren(
    heat && (heatmap_peak ?? 0) > 0 ? evidence(heat, view, what) : el("p", { class: "quiet" }, none),
  );
  for (const chip of $("result").querySelectorAll("button"))
    if (chip.dataset.class) chip.ariaPressed = String(chip.dataset.class === heatmap_class);
}

/** @param {string} name of a class */
const named = (name) => (name === "cat" ? "a cat" : `“${label(name)}”`);

async function correct() {
  const { ask } = await import("../correct/correct.js");
  if (newest) ask(find($("result"), ".correcting"), newest);
}

/**
 * Where the network's own probability lies, over the bar of the changed network's.
 *
 * @param {number} own
 */
export const ghost = (own) => el("span", { class: "ghost", style: { width: `${own * 100}%` } });

/**
 * The slider that fades the heatmap.
 *
 * @param {HTMLElement} heat
 * @param {{ opacity: number }} view
 * @param {string} what
 */
function evidence(heat, view, what) {
  const slider = el("input", { type: "range", min: 0, max: 1, step: 0.05, value: view.opacity, id: "opacity" });
  slider.addEventListener("input", () => {
    heat.style.opacity = slider.value;
    view.opacity = slider.valueAsNumber;
  });
  return el(
    "div",
    { class: "evidence" },
    el("label", {}, "evidence on the photo ", slider),
    el(
      "p",
      { class: "legend heat-legend" },
      el("span", {}, "none"),
      el("span", { class: "bar", style: { background: gradient({ bottom: 0, top: 1 }) } }, ...CONTOURS.map(tick)),
      el("span", {}, "the strongest in this photo"),
    ),
    el("p", { class: "quiet" }, `Bright: evidence for ${what}, even if it is weak. Lines: ¼, ½ and ¾ of the strongest.`),
  );
}

/** @param {number} share */
const tick = (share) => el("span", { class: "tick", style: { left: `${100 * share}%` } });

/**
 * A button for each class, the likeliest first: it shows the evidence for it.
 *
 * @param {Prediction} answer
 */
function classes({ probabilities }) {
  const sorted = Object.entries(probabilities).sort(([, a], [, b]) => b - a);
  const shown = sorted.length > MOST_CLASSES ? FEW : sorted.length;
  const onclick = async (/** @type {Event} */ { currentTarget }) => {
    const { seek } = await import("../teach/evidence.js");
    if (newest && currentTarget instanceof HTMLElement) seek(currentTarget.dataset.class ?? "", newest);
  };
  const chips = sorted
    .slice(0, shown)
    .map(([name, value]) =>
      el("button", { type: "button", class: "chip", "data-class": name, onclick }, `${label(name)} ${percent(value)}`),
    );
  return [...chips, shown < sorted.length ? el("span", {}, `and ${sorted.length - shown} more`) : null];
}

/** The photo could not be answered: remove its picture. The message above says why. */
export function fail() {
  $("answer").removeAttribute("aria-busy");
  $("picture").hidden = true;
  find($("photo"), ".empty").hidden = false;
  $("verdict").textContent = "No answer for this photo.";
  $("result").replaceChildren();
}

/**
 * Show the network's input picture in place of the photo, stretched to the photo's proportions.
 *
 * @param {string} source
 * @param {ImageAnswer} image
 */
export function standIn(source, { width, height }) {
  const image = find($("picture"), ".shown", HTMLImageElement);
  image.src = source;
  image.style.setProperty("width", `min(100%, ${(26 * width) / height}rem)`);
  image.style.setProperty("aspect-ratio", `${width} / ${height}`);
  $("picture").classList.remove("unshown");
}

/** @param {HTMLImageElement} image */
function enlarge(image) {
  const longer = Math.max(image.naturalWidth, image.naturalHeight);
  if (longer < MIN_PIXELS) image.style.setProperty("width", `${(MIN_PIXELS * image.naturalWidth) / longer}px`);
}

/** @param {Record<string, number>} milliseconds */
function times(milliseconds) {
  const shown = Object.entries(milliseconds).filter(([, time]) => time >= 0.1);
  const all = shown.reduce((sum, [, time]) => sum + time, 0);
  const steps = shown.map(([step, time]) => `${STEPS[step] ?? step} ${number(Math.round(time * 10) / 10)}`);
  return `${number(Math.round(all))} ms: ${steps.join(", ")}`;
}
