/** The heading of an open stage: its name, what it does, the layers it consists of, and the way to its neighbours. */
// @ts-check

import { inside } from "../acts/ribbon.js";
import { el } from "../basics/dom.js";
import { count, size } from "../basics/format.js";
import { kind, sentence } from "../basics/words.js";

/** @import { NetworkDetail, StageAnswer, StageListeners } from "../types.js" */

/**
 * `inputs` is how many channels or numbers the stage reads.
 *
 * @param {NetworkDetail} detail
 * @param {StageAnswer} layer
 * @param {number} inputs
 * @param {StageListeners} on
 */
export function head(detail, layer, inputs, on) {
  const parameters = layer.parameters ? `, ${count(layer.parameters)} parameters` : "";
  const facts = el("span", { class: "quiet" }, ` ${kind(layer)}, ${size(layer.shape)}`, parameters);
  return el(
    "header",
    { class: "stage-head" },
    el("div", { class: "steps" }, step("Previous stage", "[", "earlier", "‹"), step("Next stage", "]", "later", "›")),
    el(
      "div",
      {},
      el("h3", { id: "stage-title" }, layer.name, facts),
      el("p", {}, sentence(layer, inputs)),
      layers(detail, layer, on),
    ),
  );

  /**
   * @param {string} label
   * @param {string} key
   * @param {"earlier" | "later"} direction
   * @param {string} sign
   */
  function step(label, key, direction, sign) {
    const onclick = () => on.step(direction === "later" ? 1 : -1);
    return el("button", { type: "button", "aria-label": label, title: key, "data-focus": direction, onclick }, sign);
  }
}

/**
 * The layers inside the stage that the layer belongs to, as buttons; null where there is only one.
 *
 * @param {NetworkDetail} detail
 * @param {StageAnswer} layer
 * @param {StageListeners} on
 */
function layers(detail, layer, on) {
  const stage =
    detail.stages.find(({ name }) => name === layer.name) ??
    detail.stages.find(({ name }) => layer.name.startsWith(`${name}_`));
  const parts = stage ? inside(detail, stage) : [];
  if (!stage || !parts.length) return null;
  const chips = [...parts, stage].map((one) =>
    el(
      "button",
      {
        type: "button",
        class: "chip",
        "data-focus": one === layer ? "chip" : "chip-other",
        "aria-pressed": String(one === layer),
        onclick: () => on.open(one.name),
      },
      one === stage ? `${one.name} (${kind(one)})` : one.name.slice(stage.name.length + 1),
    ),
  );
  return el("p", { class: "chips" }, `${stage.name} consists of: `, ...chips);
}
