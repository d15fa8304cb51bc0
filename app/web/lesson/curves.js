/** A network's training as two small curves, with a slider that reads them epoch by epoch. */
// @ts-check

import { el, svg } from "../basics/dom.js";
import { number, share } from "../basics/format.js";

/** @import { Epoch } from "./known.js" */

const WIDTH = 640;
const HEIGHT = 168; // of one curve, in the units of its viewBox

/** @param {Epoch[]} epochs */
export function curves(epochs) {
  const last = epochs.length - 1;
  const accuracies = epochs.map((one) => one.validation_accuracy);
  const losses = epochs.map((one) => one.loss);
  const bottom = Math.min(0.5, ...accuracies);
  /** @type {[string, number[], number, number][]} caption, values, and what lies at the bottom and the top */
  const drawn = [
    ["loss on the photos of the training, down to 0", losses, 0, Math.max(...losses)],
    [`right on photos kept out of it, ${number(bottom * 100)} to 100 %`, accuracies, bottom, 1],
  ];
  const slider = el("input", { type: "range", min: 1, max: epochs.length, value: epochs.length });
  const readout = el("output");
  const marks = drawn.map(() => svg("path", { class: "mark" }));
  const figures = drawn.map(([caption, values, low, top], i) => {
    const points = values.map((value, x) => [(x / last) * WIDTH, ((top - value) / (top - low)) * HEIGHT].map(Math.round));
    const picture = { viewBox: `-4 -4 ${WIDTH + 8} ${HEIGHT + 8}`, role: "img", "aria-label": `curve of ${caption}` };
    const line = svg("polyline", { points: points.join(" ") });
    return el("figure", {}, svg("svg", picture, marks[i], line), el("figcaption", {}, caption));
  });
  const read = () => {
    const { epoch, loss, validation_accuracy } = epochs[slider.valueAsNumber - 1];
    for (const mark of marks) mark.setAttribute("d", `M${((epoch - 1) / last) * WIDTH} 0V${HEIGHT}`);
    readout.textContent = `epoch ${epoch}: loss ${number(loss)}, ${share(validation_accuracy)} right`;
    slider.setAttribute("aria-valuetext", readout.textContent);
  };
  slider.addEventListener("input", read);
  read();
  return el("div", { class: "curves" }, ...figures, el("label", {}, "epoch", slider), readout);
}
