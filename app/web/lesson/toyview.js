/** The toy on the page: a picture and a filter to click, the sum at one position, and the maps that come out. */
// @ts-check

import { el } from "../basics/dom.js";
import { cellsOf } from "./cells.js";
import * as toy from "./toy.js";

/** @typedef {"filter" | "pooling" | "relu"} Scene */

const START = { image: toy.IMAGE, filter: toy.FILTERS.plus, stride: 1, padding: 0, pool: 1, relu: 0, row: 0, column: 0 };
/** What a step of the lesson sets before it shows the toy. @type {Record<Scene, Partial<typeof START>>} */
const SCENES = {
  filter: {},
  pooling: { filter: toy.FILTERS.plus, padding: 1, pool: 2, relu: 0 },
  relu: { filter: toy.FILTERS["left edge"], padding: 0, pool: 1, relu: 1 },
};
/** By setting: its label, what its choices show, and the value of the first. @type {Record<string, [string, string[], number]>} */
const SETTINGS = {
  kernel: ["kernel size", ["1", "2", "3", "4", "5"], 1],
  stride: ["stride", ["1", "2", "3"], 1],
  padding: ["padding", ["0", "1", "2"], 0],
  pool: ["pooling", ["none", "2 × 2"], 1],
  relu: ["ReLU", ["off", "on"], 0],
};

const state = { ...START }; // the steps share what the visitor has set

/** The toy, as one step shows it. @param {Scene} scene */
export function toyView(scene) {
  const picture = cellsOf("picture", (row, column) => {
    const [y, x] = [row - state.padding, column - state.padding];
    if (!isPadding(row, column)) set({ image: toy.changed(state.image, y, x, 1 - state.image[y][x]) });
  });
  const filter = cellsOf("filter", (row, column) => {
    const weight = state.filter[row][column];
    set({ filter: toy.changed(state.filter, row, column, weight === 1 ? -1 : weight + 1) });
  });
  const map = cellsOf("feature map", (row, column) => set({ row, column }));
  const pooled = cellsOf("pooled");
  const clipped = cellsOf("after ReLU");
  const sum = el("p", { "data-toy": "sum", "aria-live": "polite" });
  const size = el("p", { "data-toy": "size" });
  const filters = Object.entries(toy.FILTERS).map(([name, weights]) =>
    el("button", { type: "button", class: "chip", onclick: () => set({ filter: weights }) }, name),
  );
  const settings = Object.entries(SETTINGS).map(([name, [label, choices, first]]) => {
    const select = el("select", { "data-toy": name }, ...choices.map((text, i) => new Option(text, String(first + i))));
    select.addEventListener("change", () => {
      const value = Number(select.value);
      set(name === "kernel" ? { filter: toy.resized(state.filter, value) } : { [name]: value });
    });
    return { name, select, root: el("label", {}, label, select) };
  });

  /** @param {Partial<typeof state>} changed */
  function set(changed) {
    Object.assign(state, changed);
    const { image, stride, padding, pool, relu } = state;
    const kernel = state.filter.length;
    const sums = toy.featureMap(image, state.filter, stride, padding);
    const [row, column] = [state.row, state.column].map((at) => Math.min(at, sums.length - 1));
    const [top, left] = [row * stride, column * stride];
    const bordered = toy.padded(image, padding);
    picture.show(bordered, (y, x) => y >= top && y < top + kernel && x >= left && x < left + kernel, isPadding);
    filter.show(state.filter);
    map.show(sums, (y, x) => y === row && x === column);
    const largest = toy.pooled(sums, pool);
    pooled.show(largest);
    pooled.root.hidden = pool === 1;
    clipped.show(toy.clipped(largest));
    clipped.root.hidden = !relu;
    const terms = toy.products(bordered, state.filter, stride, row, column);
    const products = terms.map(({ value, weight }) => `${value} × ${weight}`).join(" + ");
    sum.textContent = `Row ${row}, column ${column}: ${products} = ${toy.total(terms)}`.replaceAll("-", "−");
    const rest = (image.length + 2 * padding - kernel) % stride ? ", rounded down" : "";
    const after = pool > 1 ? `; pooled, ${largest.length}` : "";
    size.textContent = `Output size: (${image.length} + 2 × ${padding} − ${kernel}) / ${stride} + 1 = ${sums.length}${rest}${after}`;
    for (const button of filters) {
      button.ariaPressed = String(String(toy.FILTERS[button.textContent]) === String(state.filter));
    }
    /** @type {Record<string, unknown>} */
    const values = { ...state, kernel };
    for (const { name, select } of settings) select.value = String(values[name]);
  }

  set(SCENES[scene]);
  return el(
    "div",
    { class: "toy", role: "group", "aria-label": "A toy to click" },
    el("p", {}, "Click cells of the picture and the filter, or a sum in the map to see it worked out."),
    el("div", { class: "buttons" }, ...filters),
    el("div", { class: "maps" }, ...[picture, filter, map, pooled, clipped].map(({ root }) => root)),
    sum,
    size,
    el("div", { class: "settings" }, ...settings.map(({ root }) => root)),
    el("button", { type: "button", class: "link", onclick: () => set(START) }, "Start over"),
  );
}

/** @param {number} row @param {number} column */
const isPadding = (row, column) => state.image[row - state.padding]?.[column - state.padding] === undefined;
