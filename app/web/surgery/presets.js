/** Filters to try in place of a learned one. Their weights have the same sum of magnitudes, so that answers stay comparable. */
// @ts-check

/** @import { Cells } from "../stage/units.js" */

/** @typedef {(row: number, column: number, channel: number) => number} Weight before it is scaled */

const DIGITS = 6; // of a weight; nobody chose more

/**
 * The mean of everything under the filter: all weights are equal.
 *
 * @param {Cells} kernel the network's own filter
 */
export const blur = (kernel) => alike(kernel, () => 1);

/**
 * How much the middle differs from its neighbours: a Laplacian in each input channel. It needs more than one cell.
 *
 * @param {Cells} kernel
 */
export function edge(kernel) {
  const [height, width] = [kernel.length, kernel[0].length];
  const [middle, centre] = [height >> 1, width >> 1];
  return alike(kernel, (row, column) => (row === middle && column === centre ? height * width - 1 : -1));
}

/**
 * Noise: the same seed gives the same weights.
 *
 * @param {Cells} kernel
 * @param {number} seed
 */
export function random(kernel, seed) {
  const next = generator(seed);
  return alike(kernel, () => 2 * next() - 1);
}

/**
 * A filter of that shape and magnitude.
 *
 * @param {Cells} kernel
 * @param {Weight} weight
 */
function alike(kernel, weight) {
  const made = kernel.map((line, row) => line.map((one, column) => one.map((_, channel) => weight(row, column, channel))));
  const scale = magnitude(kernel) / magnitude(made);
  return made.map((line) => line.map((one) => one.map((value) => Number((value * scale).toPrecision(DIGITS)))));
}

/** @param {Cells} kernel */
const magnitude = (kernel) => kernel.flat(2).reduce((sum, weight) => sum + Math.abs(weight), 0);

/**
 * Numbers from 0 to 1, by Tommy Ettinger's mulberry32.
 *
 * @param {number} seed
 */
function generator(seed) {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
