/** The sum of a convolution: the patch under the filter times its weights, one input channel at a time. */
// @ts-check

import { el } from "../basics/dom.js";
import { count, number, plural } from "../basics/format.js";
import { symmetric } from "../basics/palette.js";
import { channel as channelName, source as sourceName } from "../basics/words.js";
import { cells, outside, total } from "./cells.js";

/** @import { Child } from "../basics/dom.js" */
/** @import { ConvolutionUnit } from "./units.js" */
/** @import { Line } from "./cells.js" */
/** @import { SumOptions } from "./sum.js" */

/**
 * Channel indices by magnitude of their sums, the largest first.
 *
 * @param {number[]} sums
 */
export const strongestFirst = (sums) => sums.map((_, index) => index).sort((a, b) => Math.abs(sums[b]) - Math.abs(sums[a]));

/**
 * @param {ConvolutionUnit} unit
 * @param {SumOptions} options
 * @param {Line[]} verdict
 * @returns {Child[]}
 */
export function convolution(unit, { source, scale, inputShape, onSource }, verdict) {
  const isSingle = unit.kind === "depthwise_convolution" || unit.channel_sums.length === 1;
  const shown = isSingle ? 0 : source;
  const [input] = unit.inputs;
  const name = channelName(input, isSingle ? unit.channel : source);
  const terms = unit.patch.length * unit.patch[0].length * unit.channel_sums.length;
  const products = `all ${count(terms)} products`;
  return [
    isSingle ? null : chooser(unit, source, onSource),
    el(
      "div",
      { class: "equation" },
      cells(unit.patch, shown, {
        caption: `${name}, under the filter`,
        scale: scale ?? symmetric(unit.patch.flat(2)),
        isPadding: (row, column) => outside(unit.window, inputShape, row, column),
        part: "patch",
      }),
      el("span", { class: "operator" }, "×"),
      cells(unit.kernel, shown, { caption: "the filter's weights", scale: symmetric(unit.kernel.flat(2)), part: "kernel" }),
      el("span", { class: "operator" }, "="),
      cells(unit.products, shown, { caption: "products", scale: symmetric(unit.products.flat(2)), part: "products" }),
    ),
    total([
      isSingle ? null : [`${name} alone`, unit.channel_sums[shown], "channel_sum"],
      [
        isSingle ? products : `${products} of ${plural(unit.channel_sums.length, "channel")}`,
        unit.products_sum,
        "products_sum",
      ],
      ["bias", unit.bias, "bias"],
      ["sum", unit.sum, "sum"],
      unit.activation ? [activation(unit), unit.value, "value"] : null,
      ...verdict,
    ]),
    everyTerm(unit, input, terms),
  ];
}

/**
 * @param {ConvolutionUnit} unit
 * @param {number} source
 * @param {(channel: number) => void} onSource
 */
function chooser(unit, source, onSource) {
  const [input] = unit.inputs;
  const options = strongestFirst(unit.channel_sums).map((index) => {
    const text = `${channelName(input, index)} of ${sourceName(input)}, which ${effect(unit.channel_sums[index])}`;
    return el("option", { value: index, selected: index === source }, text);
  });
  const select = el("select", { "data-source": true }, ...options);
  select.addEventListener("change", () => onSource(Number(select.value)));
  return el("label", {}, "term by term for ", select);
}

/** @param {number} value */
const effect = (value) => (value < 0 ? `subtracts ${number(-value)}` : `adds ${number(value)}`);

/** @param {ConvolutionUnit} unit */
function activation({ activation: name, sum }) {
  const shown = name === "relu6" ? "ReLU6" : "ReLU";
  if (name === "relu6" && sum > 6) return "ReLU6 limits it to 6";
  return sum < 0 ? `${shown} sets negative sums to 0` : `${shown} leaves it unchanged`;
}

/**
 * Every term in one table, made when it is first opened.
 *
 * @param {ConvolutionUnit} unit
 * @param {string} input
 * @param {number} terms
 */
function everyTerm(unit, input, terms) {
  const details = el("details", { class: "every" }, el("summary", {}, `All ${count(terms)} terms`));
  details.addEventListener("toggle", () => {
    if (details.open && !details.querySelector("table")) details.append(termTable(unit, input));
  });
  return details;
}

/**
 * @param {ConvolutionUnit} unit
 * @param {string} input
 */
function termTable(unit, input) {
  /** @type {HTMLTableRowElement[]} */
  const rows = [];
  unit.products.forEach((line, row) => {
    line.forEach((products, column) => {
      products.forEach((product, index) => {
        const name = channelName(input, unit.kind === "convolution" ? index : unit.channel);
        const numbers = [unit.patch[row][column][index], unit.kernel[row][column][index], product].map(number);
        rows.push(el("tr", {}, ...[String(row), String(column), name, ...numbers].map((text) => el("td", {}, text))));
      });
    });
  });
  const names = ["row", "column", "input", "value", "weight", "product"];
  const head = el("tr", {}, ...names.map((name) => el("th", { scope: "col" }, name)));
  return el(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "All terms" },
    el("table", { class: "terms" }, el("thead", {}, head), el("tbody", {}, ...rows)),
  );
}
