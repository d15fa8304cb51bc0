/** What is shown first: the first filter, a stage's channel that stands out, the unit with the largest value. */
// @ts-check

import { seen } from "./outline.js";

/** @import { BoxAnswer, ChannelAnswer, NetworkDetail, Position, StageAnswer, UnitPosition } from "../types.js" */

const NEARLY = 0.9; // of the largest share of a receptive field that lies inside the photo

/**
 * The name of the network's first convolution, or of its first stage.
 *
 * @param {NetworkDetail} detail
 */
export const firstFilter = ({ stages }) => (stages.find((stage) => stage.kind === "convolution") ?? stages[0]).name;

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
 * The position of the largest value; of several, the one nearest the middle. Only units count whose receptive field lies inside
 * the photo, because numbers at the edge are often large only for the zeros beyond it. In deep stages no unit's does: there all
 * units count that see nearly as much of the photo as any.
 *
 * @param {Float32Array} values
 * @param {StageAnswer} layer
 * @param {number[]} photoShape
 * @returns {UnitPosition}
 */
export function largest(values, { shape, receptive_field: field }, photoShape) {
  const [height, width] = shape;
  /** @param {number} index */
  const at = (index) => ({ row: Math.floor(index / width), column: index % width });
  const shares = Array.from(values, (_, index) => inside(seen(field, at(index).row, at(index).column), photoShape));
  const most = shares.reduce((best, one) => Math.max(best, one), 0);
  const enough = most === 1 ? 1 : most * NEARLY;
  /** @param {number} index */
  const fromMiddle = (index) => Math.hypot(at(index).row - (height - 1) / 2, at(index).column - (width - 1) / 2);
  /**
   * @param {number} one
   * @param {number} best
   */
  const isBetter = (one, best) =>
    best < 0 || values[one] > values[best] || (values[one] === values[best] && fromMiddle(one) < fromMiddle(best));
  return at(values.reduce((best, _, one) => (shares[one] >= enough && isBetter(one, best) ? one : best), -1));
}

/**
 * The share of a box that lies inside a picture, 0..1.
 *
 * @param {BoxAnswer} box
 * @param {number[]} shape
 */
function inside({ top, left, bottom, right }, [height, width]) {
  const rows = Math.min(height, bottom) - Math.max(0, top);
  const columns = Math.min(width, right) - Math.max(0, left);
  return (Math.max(0, rows) * Math.max(0, columns)) / ((bottom - top) * (right - left));
}
