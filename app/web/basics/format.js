/** Numbers in, text out. Displayed numbers are rounded; the API's answer has all digits. */
// @ts-check

/**
 * Four significant digits with a real minus sign; very large and very small numbers get an exponent.
 *
 * @param {number} value
 */
export function number(value) {
  if (value === 0) return "0";
  const magnitude = Math.abs(value);
  const text = magnitude >= 1e5 || magnitude < 1e-4 ? value.toExponential(1) : String(Number(value.toPrecision(4)));
  return text.replaceAll("-", "−").replace("+", "");
}

/**
 * A number as a term of a sum: "+ 0.4" or "− 0.4".
 *
 * @param {number} value
 */
export const term = (value) => (value < 0 ? `− ${number(-value)}` : `+ ${number(value)}`);

/**
 * A probability as a percentage. Only a probability of exactly 0 or 1 could be 0 % or 100 %, so neither is ever shown.
 *
 * @param {number} probability
 */
export function percent(probability) {
  const digits = probability > 0.999 || probability < 0.001 ? 2 : 1;
  const maximum = 100 - 10 ** -digits;
  const shown = Math.min(maximum, Math.max(100 - maximum, probability * 100));
  return `${shown.toFixed(digits)} %`;
}

/**
 * A share of photos as a percentage; unlike a probability it can be 100 %.
 *
 * @param {number} part
 */
export const share = (part) => `${(100 * part).toFixed(1)} %`;

/** @param {number} n */
export const count = (n) => n.toLocaleString("en");

/**
 * [100, 100, 16] as "100 × 100 × 16".
 *
 * @param {number[]} shape
 */
export const size = (shape) => shape.map(count).join(" × ");

/**
 * @param {number} n
 * @param {string} noun
 */
export const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
