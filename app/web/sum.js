/** The sum: how one number came about, term by term, with the network's own number beside it. */

import { el } from "./dom.js";
import { count, number, plural, term } from "./format.js";
import { around, colour, css, ink } from "./palette.js";
import { channel as channelName, label, source as sourceName } from "./words.js";

/** The input channel that matters most for a unit: for a convolution the one that adds or takes most. */
export function strongestInput(unit) {
  if (unit.kind === "convolution") return strongestFirst(unit.channel_sums)[0];
  return unit.source ? unit.source[2] : unit.channel;
}

const strongestFirst = (sums) => sums.map((_, index) => index).sort((a, b) => Math.abs(sums[b]) - Math.abs(sums[a]));

/**
 * Show an answer of /explain/unit. `source` is the input channel that is shown term by term, `scale` the colour scale of its
 * stage, `padded` that stage's shape, `origin` the picture that was flattened before a fully connected stage, and `onSource`
 * hears when another channel is wanted; `classes` are the network's.
 */
export function show(root, unit, { source, scale, padded, origin, classes, onSource }) {
  const draw = { convolution, depthwise_convolution: convolution, pooling, relu, rescaling, add, flatten, dense, probabilities, activation: elementwise, multiplication, padding, concatenation }[unit.kind];
  root.replaceChildren(
    el("h4", {}, "The sum ", el("span", { class: "quiet" }, `where ${number(unit.computed)} comes from: ${place(unit)}`)),
    ...draw(unit, { source, scale, padded, origin, classes, onSource }).filter(Boolean),
  );
}

function place({ stage, kind, row, column, channel }) {
  const picture = !["flatten", "dense", "probabilities"].includes(kind);
  return picture ? `row ${row}, column ${column} of channel ${channel}` : `number ${count(channel)} of ${stage}`;
}

function convolution(unit, { source, scale, padded, onSource }) {
  const only = unit.kind === "depthwise_convolution" || unit.channel_sums.length === 1;
  const k = only ? 0 : source;
  const [input] = unit.inputs;
  const name = channelName(input, only ? unit.channel : source);
  const terms = unit.patch.length * unit.patch[0].length * unit.channel_sums.length;
  const chooser = only
    ? null
    : el(
        "label",
        {},
        "term by term for ",
        el(
          "select",
          { onchange: (event) => onSource(Number(event.target.value)), "data-source": true },
          strongestFirst(unit.channel_sums).map((index) =>
            el("option", { value: index, selected: index === source }, `${channelName(input, index)} of ${sourceName(input)}, which ${adds(unit.channel_sums[index])}`),
          ),
        ),
      );
  const beyond = (row, column) => outside(unit.window, padded, row, column);
  return [
    chooser,
    el(
      "div",
      { class: "equation" },
      cells(unit.patch, k, { caption: `${name}, under the filter`, scale, beyond, part: "patch" }),
      el("span", { class: "operator" }, "×"),
      cells(unit.kernel, k, { caption: "the filter's weights", scale: around(unit.kernel.flat(2)), part: "kernel" }),
      el("span", { class: "operator" }, "="),
      cells(unit.products, k, { caption: "products", scale: around(unit.products.flat(2)), part: "products" }),
    ),
    total([
      only ? null : [`${name} alone`, unit.channel_sums[k], "channel_sum"],
      [only ? `the ${terms} products together` : `all ${plural(unit.channel_sums.length, "channel")}, ${count(terms)} products, together`, unit.products_sum, "products_sum"],
      ["the bias adds", unit.bias, "bias"],
      ["the sum", unit.sum, "sum"],
      unit.activation ? [activation(unit), unit.value, "value"] : null,
      ...verdict(unit),
    ]),
    everyTerm(unit, input, terms),
  ];
}

const adds = (value) => (value < 0 ? `takes ${number(-value)}` : `adds ${number(value)}`);

function activation({ activation: name, sum }) {
  if (name === "relu6") return sum > 6 ? "ReLU6 stops at 6" : sum < 0 ? "ReLU6 clips what is below 0" : "ReLU6 leaves it";
  return sum < 0 ? "ReLU clips what is below 0" : "ReLU leaves it";
}

function outside(window, [height, width], row, column) {
  const [y, x] = [window.top + row, window.left + column];
  return y < 0 || x < 0 || y >= height || x >= width;
}

/** Every term in one table, made when it is first opened. */
function everyTerm(unit, input, terms) {
  const fill = ({ target }) => {
    if (!target.open || target.querySelector("table")) return;
    const rows = [];
    unit.products.forEach((line, row) =>
      line.forEach((place, column) =>
        place.forEach((product, index) => {
          const from = unit.kind === "convolution" ? index : unit.channel;
          const told = [row, column, channelName(input, from), unit.patch[row][column][index], unit.kernel[row][column][index], product];
          rows.push(el("tr", {}, told.map((value, place) => el("td", {}, place < 3 ? String(value) : number(value)))));
        }),
      ),
    );
    const head = el("tr", {}, ["row", "column", "input", "value", "weight", "product"].map((name) => el("th", { scope: "col" }, name)));
    target.append(el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "All terms" }, el("table", { class: "terms" }, el("thead", {}, head), el("tbody", {}, rows))));
  };
  return el("details", { ontoggle: fill, class: "every" }, el("summary", {}, `All ${count(terms)} terms`));
}

function pooling(unit, { scale }) {
  const window = cells(unit.patch, 0, {
    scale: scale ?? around(unit.patch.flat(2)),
    caption: unit.patch.length > 3 ? `all of ${sourceName(unit.inputs[0])}` : `${channelName(unit.inputs[0], unit.channel)} of ${sourceName(unit.inputs[0])}`,
    part: "patch",
    chosen: (row, column) => unit.operation === "max" && unit.maximum_at[0] === unit.window.top + row && unit.maximum_at[1] === unit.window.left + column,
  });
  const many = unit.patch.length * unit.patch[0].length;
  const steps = {
    max: [["the largest of them", unit.maximum, "maximum"]],
    average: [["their sum", unit.sum, "sum"], [`divided by ${unit.count}`, unit.value, "value"]],
    log_mean_exp: [
      ["the largest of them", unit.maximum, "maximum"],
      [`the mean of e^(each − the largest), over ${many} places`, unit.mean, "mean"],
      ["the largest + the logarithm of that mean", unit.value, "value"],
    ],
  }[unit.operation];
  return [el("div", { class: "equation" }, window), total([...steps, ...verdict(unit)])];
}

function relu(unit) {
  const [value] = unit.patch[0][0];
  return [total([["what came in", value, "input"], [value < 0 ? "below zero: clipped to 0" : "not below zero: kept", unit.value, "value"], ...verdict(unit)])];
}

function elementwise(unit) {
  const [value] = unit.patch[0][0];
  return [total([["what came in", value, "input"], [`${unit.operation.replaceAll("_", " ")} of it`, unit.value, "value"], ...verdict(unit)])];
}

function multiplication(unit) {
  return [total([...unit.inputs.map((name, index) => [index ? `times ${name}` : name, unit.terms[index], "term"]), ["gives", unit.value, "value"], ...verdict(unit)])];
}

function padding(unit, { padded }) {
  const beyond = outside(unit.window, padded, 0, 0);
  return [total([[beyond ? "beyond the picture's edge: a zero" : `that number of ${sourceName(unit.inputs[0])}, as it is`, unit.value, "value"], ...verdict(unit)])];
}

function concatenation(unit) {
  const from = unit.inputs[unit.chosen];
  return [total([[`${channelName(from, unit.source[2])} of ${sourceName(from)}, as it is`, unit.value, "value"], ...verdict(unit)])];
}

function rescaling(unit) {
  const [value] = unit.patch[0][0];
  return [total([[`${channelName("image", unit.channel)}, 0 to 255`, value, "input"], ["times", unit.scale, "scale"], ["plus", unit.offset, "offset"], ["gives", unit.value, "value"], ...verdict(unit)])];
}

function add(unit) {
  return [total([...unit.inputs.map((name, index) => [name, unit.terms[index], "term"]), ["together", unit.value, "value"], ...verdict(unit)])];
}

function flatten(unit) {
  const [row, column, channel] = unit.source;
  return [
    el("p", {}, `Number ${count(unit.channel)} of the row is the one at row ${row}, column ${column} of ${channelName(unit.inputs[0], channel)} of ${sourceName(unit.inputs[0])}.`),
    total([["it is", unit.value, "value"], ...verdict(unit)]),
  ];
}

function dense(unit, { origin }) {
  const largest = unit.contributions.reduce((most, { product }) => Math.max(most, Math.abs(product)), 0) || 1;
  const where = ({ index, row, column, channel }) => (row === null ? `number ${count(index)}` : `row ${row}, column ${column}, ${channelName(origin, channel)}`);
  const rows = unit.contributions.map((one) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, where(one)),
      [one.value, one.weight, one.product].map((value) => el("td", { "data-value": value }, number(value))),
      el("td", { class: "bar-cell" }, el("span", { class: one.product < 0 ? "bar minus" : "bar plus", style: { width: `${(50 * Math.abs(one.product)) / largest}%` } })),
    ),
  );
  const head = el("tr", {}, ["input", "value", "weight", "product"].map((name) => el("th", { scope: "col" }, name)), el("td", {}));
  return [
    el("p", {}, unit.others ? `Of its ${count(unit.contributions.length + unit.others)} inputs these count most:` : "Its inputs:"),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "The largest contributions" }, el("table", { class: "terms contributions" }, el("thead", {}, head), el("tbody", {}, rows))),
    total([
      unit.others ? [`the other ${count(unit.others)} together`, unit.others_sum, "others_sum"] : null,
      ["all products together", unit.products_sum, "products_sum"],
      ["the bias adds", unit.bias, "bias"],
      ["the sum", unit.sum, "sum"],
      ...verdict(unit),
    ]),
  ];
}

function probabilities(unit, { classes }) {
  const largest = Math.max(...unit.terms);
  return [
    total([
      ...unit.terms.flatMap((score, index) => [
        [`score of ${label(classes[index])}`, score, "term"],
        [`e^(${number(score)} ${term(-largest)})`, unit.exponentials[index], "exponential"],
      ]),
      [unit.terms.length === 2 ? "both powers together" : "all powers together", unit.total, "total"],
      [`the share of ${label(classes[unit.channel])}`, unit.value, "value"],
      ...verdict(unit),
    ]),
  ];
}

const verdict = (unit) => [
  ["the network says", unit.computed, "computed"],
  ["difference", unit.difference, "difference"],
];

/** Lines of a calculation: [what, value, its name in the API's answer]. */
function total(lines) {
  return el(
    "table",
    { class: "total" },
    el("tbody", {}, lines.filter(Boolean).map(([what, value, part]) => el("tr", { "data-part": part }, el("th", { scope: "row" }, what), el("td", { "data-value": value }, number(value))))),
  );
}

/** One input channel of a block of numbers, [height][width][channel], as a table of coloured cells. */
function cells(block, channel, { caption, scale, part, beyond = () => false, chosen = () => false }) {
  const small = block.length > 5;
  const rows = block.map((line, row) =>
    el(
      "tr",
      {},
      line.map((place, column) => {
        const value = place[channel];
        const rgb = colour(value, scale);
        const padding = beyond(row, column);
        return el(
          "td",
          {
            "data-value": value,
            class: padding ? "padding" : chosen(row, column) ? "chosen" : null,
            title: padding ? "padding: beyond the picture's edge, counted as 0" : number(value),
            style: padding ? {} : { background: css(rgb), color: ink(rgb) },
          },
          padding ? "0" : number(small ? Number(value.toPrecision(2)) : value),
        );
      }),
    ),
  );
  return el("table", { class: small ? "cells-table small" : block[0].length > 3 ? "cells-table wide" : "cells-table", "data-part": part }, el("caption", {}, caption), el("tbody", {}, rows));
}
