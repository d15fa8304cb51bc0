/** One curve of a network's training: a number for each epoch comes in; a figure with axes and a dot that moves goes out. */
// @ts-check

import { el, svg } from "../basics/dom.js";

const WIDTH = 360; // all in the units of the viewBox
const HEIGHT = 130;
const PLOT = { left: 52, right: WIDTH - 14, top: 12, bottom: HEIGHT - 26 };

/**
 * @typedef {object} ChartOptions
 * @property {string} caption
 * @property {number} bottom the value at the lower end of the axis
 * @property {number} top
 * @property {(value: number) => string} format
 */

export class Chart {
  /**
   * @param {number} first the epoch of the first value
   * @param {number[]} values one for each epoch
   * @param {ChartOptions} options
   */
  constructor(first, values, { caption, bottom, top, format }) {
    this.first = first;
    this.values = values;
    this.bottom = bottom;
    this.top = top;
    this.line = svg("line", { class: "here", y1: PLOT.top, y2: PLOT.bottom });
    this.dot = svg("circle", { r: 6 });
    const last = first + values.length - 1;
    const said = `Curve of ${caption}: ${format(values[0])} at epoch ${first}, ${format(values[values.length - 1])} at epoch ${last}`;
    const points = values.map((value, i) => `${this.x(first + i)},${this.y(value)}`);
    this.root = el(
      "figure",
      { class: "chart" },
      el("figcaption", {}, caption),
      svg(
        "svg",
        { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": said },
        ...[bottom, (bottom + top) / 2, top].flatMap((value) => this.level(value, format(value))),
        ...[first, Math.round((first + last) / 2), last].map((epoch) => this.under(epoch)),
        this.line,
        svg("polyline", { points: points.join(" ") }),
        this.dot,
      ),
    );
  }

  /** Put the dot on an epoch. @param {number} epoch */
  mark(epoch) {
    const x = String(this.x(epoch));
    for (const end of ["x1", "x2"]) this.line.setAttribute(end, x);
    this.dot.setAttribute("cx", x);
    this.dot.setAttribute("cy", String(this.y(this.values[epoch - this.first])));
  }

  /**
   * A horizontal line with what it stands for.
   *
   * @param {number} value
   * @param {string} text
   */
  level(value, text) {
    const y = this.y(value);
    return [
      svg("line", { class: "grid", x1: PLOT.left, x2: PLOT.right, y1: y, y2: y }),
      svg("text", { x: PLOT.left - 6, y: y + 4, "text-anchor": "end" }, text),
    ];
  }

  /** An epoch's number under the curve. @param {number} epoch */
  under(epoch) {
    return svg("text", { x: this.x(epoch), y: HEIGHT - 8, "text-anchor": "middle" }, String(epoch));
  }

  /** @param {number} epoch */
  x(epoch) {
    const share = (epoch - this.first) / (this.values.length - 1);
    return Math.round(PLOT.left + share * (PLOT.right - PLOT.left));
  }

  /** @param {number} value */
  y(value) {
    const share = (value - this.bottom) / (this.top - this.bottom);
    return Math.round(PLOT.bottom - share * (PLOT.bottom - PLOT.top));
  }
}
