/** Act one: the answer to the photo, in a sentence, with its number and the evidence laid over the photo. */

import { $, el, speak } from "./dom.js";
import { number, percent } from "./format.js";
import { label, subject, verdict } from "./words.js";

const STEPS = { decode: "decoding", inference: "network", feature_maps: "feature maps", heatmap: "heatmap" };

/** Show the photo at once, while its answer is on the way. */
export function wait(photo) {
  $("photo").querySelector(".empty").hidden = true;
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
 * Show an answer of /predict. `opacity` (0..1) is how strongly the evidence covers the photo, `onOpacity` hears of changes;
 * `band` is the network's [low, high] in which it is not sure.
 */
export function show(answer, { opacity, onOpacity, band }) {
  const told = subject(answer);
  const likely = answer.probabilities[told];
  const says = told === "cat" ? "a cat" : `“${label(told)}”`;
  $("answer").removeAttribute("aria-busy");
  $("verdict").textContent = verdict(answer.verdict);
  speak(`${verdict(answer.verdict)} ${percent(likely)} probability of ${says}.`);
  const heat = answer.heatmap && el("img", { src: answer.heatmap, alt: "", class: "heat", style: { opacity } });
  if (heat) $("picture").querySelector(".frame").append(heat);
  const slide = (event) => {
    heat.style.opacity = event.target.value;
    onOpacity(Number(event.target.value));
  };
  const lines = [
    el(
      "p",
      { class: "probability", "data-value": likely },
      el("strong", {}, percent(likely)),
      ` probability of ${says}, says `,
      el("code", {}, answer.model.network),
    ),
    el(
      "div",
      { class: "meter", role: "meter", "aria-valuemin": 0, "aria-valuemax": 1, "aria-valuenow": likely, "aria-valuetext": percent(likely), "aria-label": `Probability of ${says}` },
      el("span", { style: { width: `${likely * 100}%` } }),
    ),
    told === "cat" ? null : el("p", { class: "classes" }, others(answer.probabilities, told)),
    answer.verdict === "unsure" && band
      ? el("p", {}, `From ${percent(band[0])} to ${percent(band[1])} this network is wrong too often to decide.`)
      : null,
    heat && answer.heatmap_peak > 0
      ? el(
          "div",
          { class: "evidence" },
          el(
            "label",
            {},
            "evidence on the photo ",
            el("input", { type: "range", min: 0, max: 1, step: 0.05, value: opacity, oninput: slide, id: "opacity" }),
          ),
          el("p", { class: "quiet" }, `Brightest where this photo speaks most for ${says}, however much or little that is.`),
        )
      : el("p", { class: "quiet" }, `No place of this photo speaks for ${says}.`),
    el("p", { class: "quiet timings" }, times(answer.timings_ms)),
  ];
  $("result").replaceChildren(...lines.filter(Boolean));
}

const MOST = 4; // other classes that are told, the likeliest of them

/** What else it might be, in a line. */
function others(probabilities, told) {
  const rest = Object.entries(probabilities).filter(([name]) => name !== told).sort(([, a], [, b]) => b - a);
  const shown = rest.slice(0, MOST).map(([name, value]) => `${label(name)} ${percent(value)}`);
  return `Or ${shown.join(", ")}${rest.length > MOST ? `, and ${rest.length - MOST} more` : ""}.`;
}

/** The photo could not be answered: its picture goes, and why stands in the message. */
export function fail() {
  $("answer").removeAttribute("aria-busy");
  $("picture").hidden = true;
  $("photo").querySelector(".empty").hidden = false;
  $("verdict").textContent = "No answer to this one.";
  $("result").replaceChildren();
}

/** Show the picture that the network gets in the photo's stead, stretched back to its `width` x `height`. */
export function standIn(source, { width, height }) {
  const image = $("picture").querySelector(".shown");
  image.src = source;
  image.style.setProperty("width", `min(100%, ${(26 * width) / height}rem)`);
  image.style.setProperty("aspect-ratio", `${width} / ${height}`);
  $("picture").classList.remove("unshown");
}

const SMALLEST = 200; // pixels of the longer side, below which a photo is shown larger than it is

function enlarge(image) {
  const longer = Math.max(image.naturalWidth, image.naturalHeight);
  if (longer < SMALLEST) image.style.setProperty("width", `${(SMALLEST * image.naturalWidth) / longer}px`);
}

function times(milliseconds) {
  const told = Object.entries(milliseconds).filter(([, time]) => time >= 0.1);
  const all = told.reduce((sum, [, time]) => sum + time, 0);
  return `${number(Math.round(all))} ms: ${told.map(([step, time]) => `${STEPS[step] ?? step} ${number(Math.round(time * 10) / 10)}`).join(", ")}`;
}
