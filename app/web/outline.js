/** Outlines: what a unit sees, drawn over the pictures that it sees it in. */

import { el } from "./dom.js";

/** What unit (row, column) sees through a window, as /models tells windows. */
export function seen({ size: [high, wide], step, offset }, row, column) {
  const top = offset[0] + row * step[0];
  const left = offset[1] + column * step[1];
  return { top, left, bottom: top + high, right: left + wide };
}

/** A transparent layer over a picture of that many rows and columns, with a rectangle on it. */
export function mask(height, width) {
  return el("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" }, el("rect", { class: "outside" }), el("rect", { class: "outline" }));
}

/** Put the layer's rectangle around these cells, cut off at the picture's edges if `clip` is its [height, width]. */
export function box(layer, { top, left, bottom, right }, clip) {
  if (clip) [top, left, bottom, right] = [Math.max(0, top), Math.max(0, left), Math.min(clip[0], bottom), Math.min(clip[1], right)];
  for (const rect of layer.querySelectorAll("rect")) {
    for (const [name, value] of Object.entries({ x: left, y: top, width: right - left, height: bottom - top })) rect.setAttribute(name, value);
  }
}

/** How a photo is shown small: in its own shape, but no longer than four times its width, so that outlines stay visible. */
export function framed({ width, height }) {
  const ratio = Math.min(4, Math.max(0.25, width / height));
  return { "aspect-ratio": String(ratio), width: `min(100%, ${20 * ratio}rem)` };
}
