/** A square table of whole numbers: cells to click, one tab stop for all of them, arrow keys from one to the next. */
// @ts-check

import { el } from "../basics/dom.js";

/** @import { Grid } from "./toy.js" */

/** @typedef {(row: number, column: number) => boolean} Which */

/** Without `onPick`, the cells are only shown. @param {string} name @param {(row: number, column: number) => void} [onPick] */
export function cellsOf(name, onPick) {
  let side = 0;
  /** @type {HTMLElement[]} */
  let cells = [];
  const table = el("div", { class: "table", role: "group", "aria-label": name, onkeydown: move });
  return { root: el("figure", { "data-cells": name }, table, el("figcaption", {}, name)), show };

  /** @param {Grid} grid @param {Which} [isSeen] @param {Which} [isPadding] */
  function show(grid, isSeen, isPadding) {
    if (grid.length !== side) build(grid.length);
    for (const [i, value] of grid.flat().entries()) {
      const cell = cells[i];
      const [row, column] = [Math.floor(i / side), i % side];
      const padding = isPadding?.(row, column) ?? false;
      cell.textContent = String(value).replace("-", "−");
      cell.dataset.value = String(value);
      cell.dataset.sign = String(Math.sign(value));
      cell.classList.toggle("seen", isSeen?.(row, column) ?? false);
      cell.classList.toggle("zero", padding);
      if (onPick) cell.ariaLabel = `row ${row}, column ${column}: ${cell.textContent}${padding ? ", padding" : ""}`;
    }
  }

  /** @param {number} length */
  function build(length) {
    const hadFocus = table.contains(document.activeElement);
    side = length;
    cells = Array.from({ length: side * side }, (_, i) => {
      const onclick = () => onPick?.(Math.floor(i / side), i % side);
      return onPick ? el("button", { type: "button", tabindex: i ? -1 : 0, onclick }) : el("span");
    });
    table.style.setProperty("--side", String(side));
    table.replaceChildren(...cells);
    if (hadFocus) cells[0]?.focus();
  }

  /** @param {KeyboardEvent} event */
  function move(event) {
    /** @type {Record<string, number>} */
    const steps = { ArrowUp: -side, ArrowDown: side, ArrowLeft: -1, ArrowRight: 1 };
    const from = cells.indexOf(/** @type {HTMLElement} */ (event.target));
    const to = cells[from + steps[event.key]];
    if (!to) return;
    event.preventDefault();
    cells[from].tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  }
}
