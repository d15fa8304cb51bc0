/** A network's training as two small curves, with a slider that reads them epoch by epoch. */
// @ts-check

import { el } from "../basics/dom.js";
import { number, share } from "../basics/format.js";
import { Chart } from "../learned/chart.js";

/** @import { Epoch } from "./known.js" */

/** @param {Epoch[]} epochs */
export function curves(epochs) {
  const accuracies = epochs.map((one) => one.validation_accuracy);
  const losses = epochs.map((one) => one.loss);
  const bottom = Math.min(0.5, ...accuracies);
  const charts = [
    new Chart(1, losses, {
      caption: "loss on the photos of the training",
      bottom: 0,
      top: Math.max(...losses),
      format: number,
    }),
    new Chart(1, accuracies, { caption: "right on photos kept out of it", bottom, top: 1, format: share }),
  ];
  const slider = el("input", { type: "range", min: 1, max: epochs.length, value: epochs.length });
  const readout = el("output");
  const read = () => {
    const { epoch, loss, validation_accuracy } = epochs[slider.valueAsNumber - 1];
    for (const chart of charts) chart.mark(epoch);
    readout.textContent = `epoch ${epoch}: loss ${number(loss)}, ${share(validation_accuracy)} right`;
    slider.setAttribute("aria-valuetext", readout.textContent);
  };
  slider.addEventListener("input", read);
  read();
  return el("div", { class: "curves" }, ...charts.map(({ root }) => root), el("label", {}, "epoch", slider), readout);
}
