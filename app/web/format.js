/** Numbers in, text out. Shown numbers are rounded; whoever needs all digits finds them in the API's answer. */

/** Four significant digits, with a real minus sign; very large and very small ones with an exponent. */
export function number(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e5 || size < 1e-4 ? value.toExponential(1) : String(Number(value.toPrecision(4)));
  return text.replaceAll("-", "−").replace("+", "");
}

/** A number as a term of a sum: "+ 0.4" or "− 0.4". */
export const term = (value) => (value < 0 ? `− ${number(-value)}` : `+ ${number(value)}`);

/** A probability as a percentage, which never says 100 % or 0 % of what is neither. */
export function percent(probability) {
  const digits = probability > 0.999 || probability < 0.001 ? 2 : 1;
  const most = 100 - 10 ** -digits;
  const shown = Math.min(most, Math.max(100 - most, probability * 100));
  return `${shown.toFixed(digits)} %`;
}

export const count = (n) => n.toLocaleString("en");

/** [100, 100, 16] as "100 × 100 × 16". */
export const size = (shape) => shape.map(count).join(" × ");

export const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
