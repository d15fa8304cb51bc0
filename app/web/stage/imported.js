/** Sums of stages that only brought networks have. */
// @ts-check

import { el } from "../basics/dom.js";
import { symmetric } from "../basics/palette.js";
import { channel as channelName, source as sourceName } from "../basics/words.js";
import { cells, total } from "./cells.js";

/** @import { ScaleAnswer } from "../types.js" */
/** @import { NormalizationUnit, ResizingUnit } from "./units.js" */
/** @import { Line } from "./cells.js" */

/**
 * @param {ResizingUnit} unit
 * @param {ScaleAnswer | null} scale
 * @param {Line[]} verdict
 */
export function resizing({ inputs: [input], channel, patch, kernel, value }, scale, verdict) {
  const caption = `${channelName(input, channel)} of ${sourceName(input)}`;
  const block = cells(patch, 0, { caption, scale: scale ?? symmetric(patch.flat(2)), part: "patch" });
  const shares = cells(kernel, 0, { caption: "the share of each", scale: symmetric([1]), part: "kernel" });
  return [
    el("div", { class: "equation" }, block, el("span", { class: "operator" }, "×"), shares),
    total([["their sum", value, "value"], ...verdict]),
  ];
}

/**
 * @param {NormalizationUnit} unit
 * @returns {Line[]}
 */
export const normalization = ({ patch, channel, mean, variance, epsilon, scale, offset, value }) => [
  ["the input", patch[0][0][channel], "input"],
  ["minus the channels' mean", mean, "mean"],
  ["divided by the root of their variance", variance, "variance"],
  ["plus this", epsilon, "epsilon"],
  ["times", scale, "scale"],
  ["plus", offset, "offset"],
  ["result", value, "value"],
];
