/** The filter is changed where its weights stand in the sum: each cell is an input, and presets replace all of them. */
// @ts-check

import { el } from "../basics/dom.js";
import { number } from "../basics/format.js";
import { blur, edge, random } from "./presets.js";

/** @import { Cells, ConvolutionUnit, Unit } from "../stage/units.js" */
/** @import { Surgery } from "./surgery.js" */

const MAX_WEIGHT = 1e6; // as the service allows
const DIGITS = 3; // shown; a weight that nobody touches keeps all of its own

/** @typedef {{ name: string, value: string, isTyped: boolean } | null} Held the input or button that has the focus */

/**
 * What has the focus in the sum, before the sum is drawn anew.
 *
 * @param {HTMLElement} root
 * @returns {Held}
 */
export function held(root) {
  const { activeElement: active } = document;
  if (!(active instanceof HTMLElement) || !root.contains(active) || !active.dataset.held) return null;
  const isInput = active instanceof HTMLInputElement;
  const value = isInput ? active.value : "";
  return { name: active.dataset.held, value, isTyped: isInput && value !== active.defaultValue };
}

/**
 * Add to the sum of a unit what can be changed in it: `source` is the input channel that is shown.
 *
 * @param {HTMLElement} root
 * @param {Unit} unit
 * @param {number} source
 * @param {Surgery} surgery
 * @param {Held} before
 */
export function attach(root, unit, source, surgery, before) {
  if (unit.muted) mute(root);
  if (unit.kind !== "convolution" && unit.kind !== "depthwise_convolution") return;
  if (!surgery.edits.isMuted(unit.stage, unit.channel)) {
    root.querySelector(".worked, .equation")?.after(tools(root, unit, source, surgery));
  }
  const heir = before && root.querySelector(`[data-held="${before.name}"]`);
  if (!(heir instanceof HTMLElement)) return;
  if (before?.isTyped && heir instanceof HTMLInputElement) heir.value = before.value;
  heir.focus({ preventScroll: true });
}

/**
 * The sum of a muted unit: what it would come to, and 0 in its place.
 *
 * @param {HTMLElement} root
 */
function mute(root) {
  root.querySelector("tr[data-part=value]")?.remove();
  const line = el("tr", { "data-part": "muted" }, el("th", { scope: "row" }, "muted, so instead"));
  line.append(el("td", { "data-value": 0 }, "0"));
  root.querySelector("tr[data-part=computed]")?.before(line);
}

/**
 * @param {HTMLElement} root
 * @param {ConvolutionUnit} unit
 * @param {number} source
 * @param {Surgery} surgery
 */
function tools(root, unit, source, surgery) {
  const { stage, channel, kernel } = unit;
  const { edits } = surgery;
  const isChanged = edits.find(stage, channel) !== undefined;
  const own = surgery.learned(stage, channel, kernel, isChanged);
  const shown = kernel[0][0].length === 1 ? 0 : source;
  /** @param {Cells} other */
  const replace = (other) => surgery.change(() => edits.replace(stage, channel, other));
  const opener = button("change", "Change the filter", () => {
    surgery.isEditing = !surgery.isEditing;
    root.querySelector(".filter-tools")?.remove();
    const made = tools(root, unit, source, surgery);
    root.querySelector(".worked, .equation")?.after(made);
    made.querySelector("button")?.focus({ preventScroll: true });
  });
  opener.setAttribute("aria-pressed", String(surgery.isEditing));
  draw(root, kernel, shown, surgery.isEditing, replace);
  const seed = el("input", {
    type: "number",
    min: 0,
    max: 999999,
    value: surgery.seed,
    required: true,
    "data-held": "seed",
  });
  seed.addEventListener("change", () => {
    if (!seed.reportValidity()) return;
    surgery.seed = seed.valueAsNumber;
    replace(random(own, surgery.seed));
  });
  const presets = [
    button("blur", "blur", () => replace(blur(own))),
    button("edge", "edge", () => replace(edge(own))),
    button("random", "random", () => replace(random(own, surgery.seed))),
    el("label", {}, "seed ", seed),
  ];
  return el(
    "div",
    { class: "surgery filter-tools", role: "group", "aria-label": "Change the filter" },
    opener,
    ...(surgery.isEditing && kernel.length > 1 ? presets : []),
    surgery.isEditing && button("silent", "mute", () => surgery.change(() => edits.toggle(stage, channel))),
    isChanged && button("learned", "as it was learned", () => surgery.change(() => edits.restore(stage, channel))),
  );
}

/**
 * Show the filter's weights for one input channel as inputs, or as the numbers that they were.
 *
 * @param {HTMLElement} root
 * @param {Cells} kernel
 * @param {number} shown the input channel
 * @param {boolean} isEditing
 * @param {(kernel: Cells) => void} replace
 */
function draw(root, kernel, shown, isEditing, replace) {
  const rows = [...root.querySelectorAll("table[data-part=kernel] tr")];
  rows.forEach((line, row) => {
    [...line.children].forEach((cell, column) => {
      const weight = kernel[row][column][shown];
      const text = Number(weight.toPrecision(DIGITS));
      if (!isEditing) cell.textContent = number(text);
      else cell.replaceChildren(input(row, column, text, (value) => replace(withWeight(kernel, row, column, shown, value))));
    });
  });
}

/**
 * @param {number} row
 * @param {number} column
 * @param {number} value
 * @param {(value: number) => void} onChange
 */
function input(row, column, value, onChange) {
  const cell = el("input", {
    type: "number",
    step: "any",
    min: -MAX_WEIGHT,
    max: MAX_WEIGHT,
    required: true,
    value,
    "aria-label": `weight, row ${row}, column ${column}`,
    "data-held": `cell ${row} ${column}`,
  });
  cell.addEventListener("change", () => cell.reportValidity() && onChange(cell.valueAsNumber));
  return cell;
}

/**
 * The filter with another weight in one cell.
 *
 * @param {Cells} kernel
 * @param {number} row
 * @param {number} column
 * @param {number} channel
 * @param {number} weight
 */
function withWeight(kernel, row, column, channel, weight) {
  const other = structuredClone(kernel);
  other[row][column][channel] = weight;
  return other;
}

/**
 * @param {string} name
 * @param {string} text
 * @param {() => void} onclick
 */
const button = (name, text, onclick) => el("button", { type: "button", class: "chip", "data-held": name, onclick }, text);
