/** What the changes do to the answer, always in view while there are any: the probability beside its ghost, and the way back. */
// @ts-check

import { ghost } from "../acts/answer.js";
import { $, el } from "../basics/dom.js";
import { percent, plural } from "../basics/format.js";

/** @import { Edits } from "./edits.js" */

/** @typedef {{ undo: () => void, redo: () => void, reset: () => void }} BarListeners */

export class Bar {
  /**
   * @param {Edits} edits
   * @param {BarListeners} on
   */
  constructor(edits, on) {
    this.edits = edits;
    this.root = $("changed");
    this.chip = $("changes");
    this.says = el("p", {});
    this.now = el("span");
    this.ghost = ghost(0);
    this.undo = button("Undo", on.undo);
    this.redo = button("Redo", on.redo);
    const meter = el("div", { class: "gauge", "aria-hidden": "true" }, this.now, this.ghost);
    const buttons = el("div", { class: "buttons" }, this.undo, this.redo, button("Reset", on.reset));
    this.root.replaceChildren(el("div", { class: "moved" }, this.says, meter), buttons);
    this.chip.addEventListener("click", () => this.root.focus());
  }

  /** Show how many changes there are and where they lead, before their answer is there. */
  count() {
    const { edits, root, chip } = this;
    const { activeElement } = document;
    chip.hidden = !edits.count;
    chip.textContent = plural(edits.count, "change");
    this.undo.disabled = !edits.past.length;
    this.redo.disabled = !edits.future.length;
    const isOver = !edits.count && !edits.past.length && !edits.future.length;
    const hadFocus = root.contains(activeElement);
    root.hidden = isOver;
    if (hadFocus && isOver) $("stage").focus({ preventScroll: true });
    else if (hadFocus && activeElement instanceof HTMLButtonElement && activeElement.disabled) root.focus();
  }

  /**
   * Show an answer.
   *
   * @param {number} probability with the changes
   * @param {number} own the network's own
   */
  show(probability, own) {
    const { count } = this.edits;
    this.root.dataset.value = String(probability);
    this.now.style.setProperty("width", `${probability * 100}%`);
    this.ghost.style.setProperty("width", `${own * 100}%`);
    this.says.replaceChildren(
      ...(count
        ? [
            `With ${plural(count, "change")}: `,
            el("strong", {}, percent(probability)),
            `; without ${them(count)} ${percent(own)}.`,
          ]
        : ["Without changes: ", el("strong", {}, percent(own)), "."]),
    );
  }
}

/** @param {number} count */
const them = (count) => (count === 1 ? "it" : "them");

/**
 * @param {string} text
 * @param {() => void} onclick
 */
const button = (text, onclick) => el("button", { type: "button", onclick }, text);
