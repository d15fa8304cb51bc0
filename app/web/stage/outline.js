/** Outlines of what a unit sees, drawn over pictures. */
// @ts-check

import { svg } from "../basics/dom.js";

/** @import { BoxAnswer, WindowAnswer } from "../types.js" */

/**
 * The cells that unit (row, column) sees through a window.
 *
 * @param {WindowAnswer} window
 * @param {number} row
 * @param {number} column
 * @returns {BoxAnswer}
 */
export function seen({ size: [high, wide], step, offset }, row, column) {
  const top = offset[0] + row * step[0];
  const left = offset[1] + column * step[1];
  return { top, left, bottom: top + high, right: left + wide };
}

/**
 * A transparent layer with a rectangle, to lie over a picture of that many rows and columns.
 *
 * @param {number[]} shape [rows, columns, ...]
 */
export function overlay([height, width]) {
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "outside" }),
    svg("rect", { class: "outline" }),
  );
}

/**
 * Put the layer's rectangle around these cells, cut off at the picture's edges if `clip` is the picture's shape.
 *
 * @param {SVGElement} layer
 * @param {BoxAnswer} box
 * @param {number[]} [clip] [rows, columns, ...]
 */
export function outline(layer, { top, left, bottom, right }, clip) {
  const [y, x] = clip ? [Math.max(0, top), Math.max(0, left)] : [top, left];
  const [yEnd, xEnd] = clip ? [Math.min(clip[0], bottom), Math.min(clip[1], right)] : [bottom, right];
  for (const rect of layer.querySelectorAll("rect")) {
    rect.setAttribute("x", String(x));
    rect.setAttribute("y", String(y));
    rect.setAttribute("width", String(xEnd - x));
    rect.setAttribute("height", String(yEnd - y));
  }
}

/**
 * The style of a small photo: in its own proportions, up to 4:1, beyond which outlines could not be seen.
 *
 * @param {{ width: number, height: number }} photo
 */
export function framed({ width, height }) {
  const ratio = Math.min(4, Math.max(0.25, width / height));
  return { "aspect-ratio": String(ratio), width: `min(100%, ${20 * ratio}rem)` };
}
