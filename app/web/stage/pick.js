/** What a stage shows first: the channel that stands out, the unit with the largest value. */
// @ts-check

/** @import { ChannelAnswer, Position, UnitPosition } from "../types.js" */

/**
 * float32 numbers from base64.
 *
 * @param {string} text
 */
export function decode(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

/**
 * The unit at a position, or null if the position has none or lies outside that shape.
 *
 * @param {Partial<Position>} position
 * @param {number[]} shape
 * @returns {UnitPosition | null}
 */
export function within({ row = null, column = null }, [height, width]) {
  return row !== null && column !== null && row < height && column < width ? { row, column } : null;
}

/**
 * Of the strongest channels, the index of the one whose peak rises most above its mean: it responds to something specific.
 *
 * @param {ChannelAnswer[]} [strongest]
 */
export function standout(strongest = []) {
  /** @param {ChannelAnswer} channel */
  const contrast = ({ peak, mean }) => peak - mean;
  return strongest.reduce((best, one) => (contrast(one) > contrast(best) ? one : best), strongest[0])?.index ?? 0;
}

/**
 * The position of the largest value; of several, the one nearest the middle. Units at the border, whose filters also cover
 * padding, count only where a picture is too small to have others.
 *
 * @param {Float32Array} values
 * @param {number[]} shape
 * @returns {UnitPosition}
 */
export function largest(values, [height, width]) {
  const border = Math.min(height, width) >= 5 ? 1 : 0;
  /** @param {number} index */
  const isInner = (index) => {
    const [row, column] = [Math.floor(index / width), index % width];
    return row >= border && column >= border && row < height - border && column < width - border;
  };
  /** @param {number} index */
  const fromMiddle = (index) => Math.hypot(Math.floor(index / width) - (height - 1) / 2, (index % width) - (width - 1) / 2);
  /**
   * @param {number} one
   * @param {number} best
   */
  const isBetter = (one, best) =>
    !isInner(best) || values[one] > values[best] || (values[one] === values[best] && fromMiddle(one) < fromMiddle(best));
  const index = values.reduce((best, _, one) => (isInner(one) && isBetter(one, best) ? one : best), 0);
  return { row: Math.floor(index / width), column: index % width };
}
