/**
 * Values in, colours out: the same two scales that the service draws with (app/inference/palette.py; a test holds them
 * equal). Without negative values zero is near-black; with them zero is white, blue lies below it and brown above.
 */

const SEQUENTIAL = [[10, 9, 28], [72, 28, 110], [180, 62, 92], [248, 160, 62], [255, 249, 205]];
const DIVERGING = [[16, 58, 130], [92, 152, 212], [247, 247, 247], [214, 142, 60], [122, 58, 4]];

/** The anchors of the scale from `bottom` to `top`. */
export const anchors = (bottom) => (bottom < 0 ? DIVERGING : SEQUENTIAL);

/** The colour [r, g, b] of a value on the scale from `bottom` to `top`. */
export function colour(value, { bottom, top }) {
  const ramp = anchors(bottom);
  const place = Math.min(1, Math.max(0, (value - bottom) / (top - bottom || 1))) * (ramp.length - 1);
  const lower = Math.min(ramp.length - 2, Math.floor(place));
  return ramp[lower].map((from, i) => Math.round(from + (ramp[lower + 1][i] - from) * (place - lower)));
}

/** Black or white, whichever is read more easily on the colour (relative luminance as WCAG 2 defines it). */
export function ink(rgb) {
  const [r, g, b] = rgb.map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

/** A scale that is as large on both sides of zero as the largest of the values. */
export function around(values) {
  const top = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
  return { bottom: -top, top };
}

export const css = (rgb) => `rgb(${rgb.join(" ")})`;

/** A CSS gradient of the scale, from left to right. */
export const gradient = ({ bottom }) => `linear-gradient(to right, ${anchors(bottom).map(css).join(", ")})`;
