/** Numbers as tables: a block of coloured cells, and the lines of a calculation. */
// @ts-check

import { el } from "../basics/dom.js";
import { number } from "../basics/format.js";
import { colour, css, ink } from "../basics/palette.js";

/** @import { BoxAnswer, ScaleAnswer } from "../types.js" */
/** @import { Cells } from "./units.js" */

const NARROW = 500; // pixels: on a phone, cells show three digits, so that patch and weights fit side by side

/** @typedef {[what: string, value: number, part: string]} Line `part` is the value's name in the API's answer */

/**
 * @typedef {object} BlockOptions
 * @property {string} caption
 * @property {ScaleAnswer} scale
 * @property {string} part what the block is called in the API's answer
 * @property {(row: number, column: number) => boolean} [isPadding]
 * @property {(row: number, column: number) => boolean} [isChosen]
 */

/**
 * One channel of a block of numbers as a table of coloured cells.
 *
 * @param {Cells} block
 * @param {number} channel
 * @param {BlockOptions} options
 */
export function cells(block, channel, { caption, scale, part, isPadding = () => false, isChosen = () => false }) {
  const small = block.length > 5;
  const digits = small ? 2 : innerWidth < NARROW ? 3 : 4;
  const rows = block.map((line, row) =>
    el(
      "tr",
      {},
      ...line.map((channels, column) => {
        const value = channels[channel];
        const rgb = colour(value, scale);
        const padding = isPadding(row, column);
        return el(
          "td",
          {
            "data-value": value,
            class: padding ? "padding" : isChosen(row, column) ? "chosen" : null,
            title: padding ? "padding: outside the picture, counted as 0" : number(value),
            style: padding ? {} : { background: css(rgb), color: ink(rgb) },
          },
          padding ? "0" : number(Number(value.toPrecision(digits))),
        );
      }),
    ),
  );
  const width = small ? " small" : block[0].length > 3 ? " wide" : "";
  return el(
    "table",
    { class: `cells-table${width}`, "data-part": part },
    el("caption", {}, caption),
    el("tbody", {}, ...rows),
  );
}

/**
 * The lines of a calculation.
 *
 * @param {(Line | null)[]} lines null is left out
 */
export function total(lines) {
  const rows = lines
    .filter((line) => line !== null)
    .map(([what, value, part]) =>
      el("tr", { "data-part": part }, el("th", { scope: "row" }, what), el("td", { "data-value": value }, number(value))),
    );
  return el("table", { class: "total" }, el("tbody", {}, ...rows));
}

/**
 * Whether a cell of a window lies outside the picture.
 *
 * @param {BoxAnswer} window
 * @param {number[]} shape the picture's
 * @param {number} row
 * @param {number} column
 */
export function outside(window, [height, width], row, column) {
  const [y, x] = [window.top + row, window.left + column];
  return y < 0 || x < 0 || y >= height || x >= width;
}
