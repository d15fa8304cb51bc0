/**
 * Values in, colours out: the two colour scales that the service draws with (app/inference/drawing/colours.py; a test holds
 * them equal). Without negative values zero is near-black; with them zero is white, blue lies below it and brown above.
 */
// @ts-check

/** @import { ScaleAnswer } from "../types.js" */

/** @typedef {number[]} Colour [red, green, blue], 0..255 */

const SEQUENTIAL = [
  [10, 9, 28],
  [72, 28, 110],
  [180, 62, 92],
  [248, 160, 62],
  [255, 249, 205],
];
const DIVERGING = [
  [16, 58, 130],
  [92, 152, 212],
  [247, 247, 247],
  [214, 142, 60],
  [122, 58, 4],
];

/**
 * The anchor colours of the scale that begins at `bottom`.
 *
 * @param {number} bottom
 */
export const anchors = (bottom) => (bottom < 0 ? DIVERGING : SEQUENTIAL);

/**
 * The colour of a value on a scale, interpolated between the two nearest anchors.
 *
 * @param {number} value
 * @param {ScaleAnswer} scale
 * @returns {Colour}
 */
export function colour(value, { bottom, top }) {
  const ramp = anchors(bottom);
  const level = Math.min(1, Math.max(0, (value - bottom) / (top - bottom || 1))) * (ramp.length - 1);
  const lower = Math.min(ramp.length - 2, Math.floor(level));
  return ramp[lower].map((from, i) => Math.round(from + (ramp[lower + 1][i] - from) * (level - lower)));
}

/**
 * Black or white, whichever is easier to read on the colour (relative luminance as WCAG 2 defines it).
 *
 * @param {Colour} rgb
 */
export function ink(rgb) {
  const [r, g, b] = rgb.map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

/**
 * A scale symmetric around zero that reaches the largest magnitude among the values.
 *
 * @param {number[]} values
 * @returns {ScaleAnswer}
 */
export function symmetric(values) {
  const top = values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0) || 1;
  return { bottom: -top, top };
}

/** @param {Colour} rgb */
export const css = (rgb) => `rgb(${rgb.join(" ")})`;

/**
 * A CSS gradient of the scale, from left to right.
 *
 * @param {ScaleAnswer} scale
 */
export const gradient = ({ bottom }) => `linear-gradient(to right, ${anchors(bottom).map(css).join(", ")})`;
