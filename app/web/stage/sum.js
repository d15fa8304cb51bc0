/** The sum: how one number comes about, step by step, with the network's own number beside it. */
// @ts-check

import { el } from "../basics/dom.js";
import { count, number, term } from "../basics/format.js";
import { symmetric } from "../basics/palette.js";
import { channel as channelName, label, source as sourceName } from "../basics/words.js";
import { cells, outside, total } from "./cells.js";
import { convolution, strongestFirst } from "./convolution.js";
import { normalization, resizing } from "./imported.js";

/** @import { Child } from "../basics/dom.js" */
/** @import { ScaleAnswer } from "../types.js" */
/** @import { ContributionAnswer, DenseUnit, ElementwiseUnit, FlattenUnit, PoolingUnit } from "./units.js" */
/** @import { ProbabilitiesUnit, TermsUnit, Unit } from "./units.js" */
/** @import { Line } from "./cells.js" */

/**
 * @typedef {object} SumOptions
 * @property {number} source the input channel that is shown term by term
 * @property {ScaleAnswer | null} scale the colour scale of the input stage
 * @property {number[]} inputShape the shape of the input stage
 * @property {string | undefined} origin the picture that was flattened before a fully connected stage
 * @property {string[]} classes the network's
 * @property {(channel: number) => void} onSource another input channel is wanted
 */

/**
 * The input channel that matters most for a unit: for a convolution the one that adds or subtracts most.
 *
 * @param {Unit} unit
 */
export function strongestInput(unit) {
  if (unit.kind === "convolution") return strongestFirst(unit.channel_sums)[0];
  return unit.kind === "flatten" || unit.kind === "concatenation" ? unit.source[2] : unit.channel;
}

/**
 * Show an answer of /explain/unit.
 *
 * @param {HTMLElement} root
 * @param {Unit} unit
 * @param {SumOptions} options
 */
export function show(root, unit, options) {
  const title = el("span", { class: "quiet" }, `behind ${number(unit.computed)}: ${position(unit, options)}`);
  const parts = arithmetic(unit, options).filter((part) => part instanceof Node);
  const isPair = parts.length > 1 && parts.some((part) => part instanceof Element && part.matches(".equation"));
  root.replaceChildren(el("h4", {}, `${heading(unit)} `, title), ...(isPair ? beside(parts) : parts));
}

/**
 * What is behind a number of the network's input: nothing but the photo.
 *
 * @param {HTMLElement} root
 * @param {{ width: number, height: number }} photo
 * @param {number[]} shape of the input
 */
export function showPixel(root, { width, height }, [rows, columns]) {
  const covered = count(Math.round((width / columns) * (height / rows) * 10) / 10);
  const isSame = width === columns && height === rows;
  const text = isSame
    ? "Nothing is computed: this is a colour of one pixel of the photo."
    : `Nothing is computed yet: ${count(width)} × ${count(height)} pixels became ${columns} × ${rows}, so each of these stands for ${covered} of the photo's.`;
  root.replaceChildren(el("h4", {}, "The pixel"), el("p", { "data-part": "computed" }, text));
}

/**
 * The blocks of numbers with the lines of the calculation beside them, where there is room.
 *
 * @param {Node[]} parts
 */
function beside(parts) {
  /** @param {Node} part */
  const isHalf = (part) => part instanceof Element && part.matches(".equation, .total");
  const first = parts.findIndex(isHalf);
  const before = parts.slice(0, first);
  const after = parts.slice(first).filter((part) => !isHalf(part));
  return [...before, el("div", { class: "worked" }, ...parts.filter(isHalf)), ...after];
}

/** @param {Unit} unit */
function heading({ kind, ...unit }) {
  if (kind === "pooling" && "operation" in unit) return POOLINGS[unit.operation];
  return HEADINGS[kind] ?? "The sum";
}

/** @type {Record<string, string>} */
const POOLINGS = { max: "The maximum", average: "The mean", log_mean_exp: "The evidence combined" };

/** @type {Record<string, string>} where there is nothing to add up */
const HEADINGS = {
  relu: "The ReLU",
  activation: "The function",
  rescaling: "The rescaling",
  multiplication: "The product",
  flatten: "The origin",
  padding: "The origin",
  cropping: "The origin",
  concatenation: "The origin",
  resizing: "The mean",
  normalization: "The normalization",
  probabilities: "The softmax",
};

/**
 * @param {Unit} unit
 * @param {SumOptions} options
 */
function position({ stage, kind, row, column, channel }, { classes }) {
  if (kind === "probabilities") return `the probability of ${label(classes[channel])}`;
  const isPicture = !["flatten", "dense"].includes(kind);
  return isPicture ? `row ${row}, column ${column} of channel ${channel}` : `unit ${count(channel)} of ${stage}`;
}

/**
 * @param {Unit} unit
 * @param {SumOptions} options
 * @returns {Child[]}
 */
function arithmetic(unit, options) {
  const verdict = verdictOf(unit);
  const [input] = unit.inputs;
  switch (unit.kind) {
    case "convolution":
    case "depthwise_convolution":
      return convolution(unit, options, verdict);
    case "pooling":
      return pooling(unit, options, verdict);
    case "relu":
    case "activation":
      return [total([...elementwise(unit), ...verdict])];
    case "rescaling":
      return [
        total([
          [`${channelName("image", unit.channel)}, 0 to 255`, unit.patch[0][0][0], "input"],
          ["times", unit.scale, "scale"],
          ["plus", unit.offset, "offset"],
          ["result", unit.value, "value"],
          ...verdict,
        ]),
      ];
    case "add":
    case "multiplication":
      return [total([...combined(unit), ...verdict])];
    case "resizing":
      return resizing(unit, options.scale, verdict);
    case "normalization":
      return [total([...normalization(unit), ...verdict])];
    case "cropping":
      return [total([[`the number from ${sourceName(input)}, unchanged`, unit.value, "value"], ...verdict])];
    case "padding": {
      const isZero = outside(unit.window, options.inputShape, 0, 0);
      const what = isZero ? "outside the picture: zero" : `the number from ${sourceName(input)}, unchanged`;
      return [total([[what, unit.value, "value"], ...verdict])];
    }
    case "concatenation": {
      const from = unit.inputs[unit.chosen];
      const what = `${channelName(from, unit.source[2])} of ${sourceName(from)}, unchanged`;
      return [total([[what, unit.value, "value"], ...verdict])];
    }
    case "flatten":
      return flatten(unit, verdict);
    case "dense":
      return dense(unit, options, verdict);
    case "probabilities":
      return probabilities(unit, options, verdict);
  }
}

/**
 * @param {Unit} unit
 * @returns {Line[]}
 */
const verdictOf = (unit) => [
  ["the network's own number", unit.computed, "computed"],
  ["difference", unit.difference, "difference"],
];

/**
 * @param {PoolingUnit} unit
 * @param {SumOptions} options
 * @param {Line[]} verdict
 */
function pooling(unit, { scale }, verdict) {
  const { window, patch } = unit;
  const input = sourceName(unit.inputs[0]);
  const block = cells(patch, 0, {
    scale: scale ?? symmetric(patch.flat(2)),
    caption: patch.length > 3 ? `all of ${input}` : `${channelName(unit.inputs[0], unit.channel)} of ${input}`,
    part: "patch",
    isChosen: (row, column) =>
      unit.operation === "max" && unit.maximum_at[0] === window.top + row && unit.maximum_at[1] === window.left + column,
  });
  return [el("div", { class: "equation" }, block), total([...poolingSteps(unit), ...verdict])];
}

/**
 * @param {PoolingUnit} unit
 * @returns {Line[]}
 */
function poolingSteps(unit) {
  switch (unit.operation) {
    case "max":
      return [["the largest of them", unit.maximum, "maximum"]];
    case "average":
      return [
        ["their sum", unit.sum, "sum"],
        [`divided by ${unit.count}`, unit.value, "value"],
      ];
    case "log_mean_exp": {
      const positions = unit.patch.length * unit.patch[0].length;
      return [
        ["the largest of them", unit.maximum, "maximum"],
        [`the mean of e^(each − the largest), over ${positions} positions`, unit.mean, "mean"],
        ["the largest + the logarithm of that mean", unit.value, "value"],
      ];
    }
  }
}

/**
 * @param {ElementwiseUnit} unit
 * @returns {Line[]}
 */
function elementwise(unit) {
  const [value] = unit.patch[0][0];
  const relu = value < 0 ? "below zero: set to 0" : "not below zero: unchanged";
  const slope = unit.kind === "relu" || unit.slope === undefined ? "" : `, with slope ${number(unit.slope)} below zero`;
  const what = unit.kind === "relu" ? relu : `${unit.operation.replaceAll("_", " ")} of the input${slope}`;
  return [
    ["the input", value, "input"],
    [what, unit.value, "value"],
  ];
}

/**
 * @param {TermsUnit} unit
 * @returns {Line[]}
 */
function combined({ kind, inputs, terms, value }) {
  const isProduct = kind === "multiplication";
  /** @type {Line[]} */
  const lines = inputs.map((name, index) => [isProduct && index ? `times ${name}` : name, terms[index], "term"]);
  return [...lines, [isProduct ? "product" : "sum", value, "value"]];
}

/**
 * @param {FlattenUnit} unit
 * @param {Line[]} verdict
 */
function flatten(unit, verdict) {
  const [row, column, channel] = unit.source;
  const input = unit.inputs[0];
  const where = `row ${row}, column ${column} of ${channelName(input, channel)} of ${sourceName(input)}`;
  return [
    el("p", {}, `Number ${count(unit.channel)} of the row comes from ${where}.`),
    total([["its value", unit.value, "value"], ...verdict]),
  ];
}

/**
 * @param {DenseUnit} unit
 * @param {SumOptions} options
 * @param {Line[]} verdict
 */
function dense(unit, { origin }, verdict) {
  const largest = unit.contributions.reduce((most, { product }) => Math.max(most, Math.abs(product)), 0) || 1;
  const rows = unit.contributions.map((one) => {
    const width = `${(50 * Math.abs(one.product)) / largest}%`;
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, origins(one, origin)),
      ...[one.value, one.weight, one.product].map((value) => el("td", { "data-value": value }, number(value))),
      el("td", { class: "bar-cell" }, el("span", { class: one.product < 0 ? "bar minus" : "bar plus", style: { width } })),
    );
  });
  const names = ["input", "value", "weight", "product"];
  const head = el("tr", {}, ...names.map((name) => el("th", { scope: "col" }, name)), el("td", {}));
  const many = count(unit.contributions.length + unit.others);
  return [
    el("p", {}, unit.others ? `Of its ${many} inputs, these count most:` : "Its inputs:"),
    el(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "The largest contributions" },
      el("table", { class: "terms contributions" }, el("thead", {}, head), el("tbody", {}, ...rows)),
    ),
    total([
      unit.others ? [`the other ${count(unit.others)} together`, unit.others_sum, "others_sum"] : null,
      ["all products together", unit.products_sum, "products_sum"],
      ["bias", unit.bias, "bias"],
      ["sum", unit.sum, "sum"],
      ...verdict,
    ]),
  ];
}

/**
 * Where an input of a fully connected unit comes from.
 *
 * @param {ContributionAnswer} contribution
 * @param {string | undefined} origin
 */
function origins({ index, row, column, channel }, origin) {
  return row === null ? `unit ${count(index)}` : `row ${row}, column ${column}, ${channelName(origin, channel)}`;
}

/**
 * @param {ProbabilitiesUnit} unit
 * @param {SumOptions} options
 * @param {Line[]} verdict
 */
function probabilities(unit, { classes }, verdict) {
  const largest = Math.max(...unit.terms);
  /** @type {Line[]} */
  const powers = unit.terms.flatMap((score, index) => [
    /** @type {Line} */ ([`score of ${label(classes[index])}`, score, "term"]),
    /** @type {Line} */ ([`e^(${number(score)} ${term(-largest)})`, unit.exponentials[index], "exponential"]),
  ]);
  return [
    total([
      ...powers,
      [unit.terms.length === 2 ? "both powers together" : "all powers together", unit.total, "total"],
      [`the share of ${label(classes[unit.channel])}`, unit.value, "value"],
      ...verdict,
    ]),
  ];
}
