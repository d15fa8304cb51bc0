/** The channels of a stage sorted by what muting each of them does to the answer, as /explain/effects says. */
// @ts-check

import * as api from "../api.js";
import { el } from "../basics/dom.js";
import { count } from "../basics/format.js";
import { shortVerdict } from "../basics/words.js";

/** @import { EffectsAnswer, StageAnswer } from "../types.js" */
/** @import { StageView } from "../stage/stage.js" */
/** @import { Surgery } from "./surgery.js" */

export class Effects {
  /**
   * @param {StageView} view
   * @param {StageAnswer} layer
   * @param {Surgery} surgery
   * @param {() => void} onSorted
   */
  constructor(view, layer, surgery, onSorted) {
    this.view = view;
    this.layer = layer;
    this.surgery = surgery;
    this.onSorted = onSorted;
    this.asking = new AbortController();
    /** @type {EffectsAnswer | null} null: the channels are in order */
    this.found = null;
    this.isOld = false; // whether the network was changed since
    this.button = el(
      "button",
      { type: "button", class: "chip", "aria-pressed": "false", "data-focus": "sort", onclick: () => this.toggle() },
      "Sort by effect",
    );
    this.says = el("p", { class: "quiet", role: "status" });
  }

  /** Sort the channels by their effects, or have them in order again. */
  async toggle() {
    const isSorted = this.found && !this.isOld;
    this.stop();
    if (isSorted) {
      this.found = null;
      this.arranged();
      return;
    }
    const { photo, detail, signal } = this.view.context;
    const query = { network: detail.network, edits: this.surgery.edits.text(), stage: this.layer.name };
    this.says.textContent = "Muting one after the other …";
    this.button.setAttribute("aria-busy", "true");
    try {
      const found = await api.post("explain/effects", query, photo, AbortSignal.any([signal, this.asking.signal]));
      Object.assign(this, { found, isOld: false });
      this.arranged();
    } catch (error) {
      if (api.superseded(error)) return;
      this.says.textContent = "";
      this.view.on.trouble(error);
    } finally {
      this.button.removeAttribute("aria-busy");
    }
  }

  arranged() {
    this.arrange();
    this.onSorted();
  }

  /** Stop asking. */
  stop() {
    this.asking.abort();
    this.asking = new AbortController();
    if (!this.found) this.says.textContent = "";
  }

  /** The network was changed: the order stays until the visitor wants the new one. */
  expire() {
    this.stop();
    this.isOld = this.found !== null;
    this.arrange();
  }

  /** Put the channels into the wanted order, each with its effect below it. */
  arrange() {
    const { found, view } = this;
    this.button.setAttribute("aria-pressed", String(found !== null && !this.isOld));
    this.button.textContent = this.isOld ? "Sort by effect again" : "Sort by effect";
    this.says.textContent = found ? this.sentence(found) : "";
    const cells = view.grid.querySelector(".cells");
    const buttons = [...view.grid.querySelectorAll("button")];
    this.button.hidden = buttons.length < 2;
    if (!cells || buttons.length < 2) return;
    if (!found && !cells.querySelector(".with-effect")) return;
    const { activeElement } = document;
    buttons.sort((a, b) => Number(a.dataset.channel) - Number(b.dataset.channel));
    const sorted = (found?.effects ?? []).map(({ channel, change }) =>
      el("span", { class: "with-effect" }, buttons[channel], el("small", { "data-value": change }, points(change))),
    );
    cells.classList.toggle("old", this.isOld);
    const others = buttons.filter((_, channel) => !found?.effects.some((effect) => effect.channel === channel));
    cells.replaceChildren(...sorted, ...others);
    if (activeElement instanceof HTMLElement && cells.contains(activeElement)) activeElement.focus();
  }

  /** @param {EffectsAnswer} found */
  sentence({ label, channels, effects }) {
    const what = `How the probability of “${shortVerdict(label)}” changes without each, in percentage points.`;
    const some =
      effects.length < channels ? ` Of ${count(channels)}, the ${count(effects.length)} strongest were muted.` : "";
    return what + some + (this.isOld ? " This was before your last change." : "");
  }

  /**
   * What muting a channel does, for its label; empty if nobody asked.
   *
   * @param {number} channel
   */
  of(channel) {
    const effect = this.found?.effects.find((one) => one.channel === channel);
    return effect ? `without it ${points(effect.change)} points` : "";
  }
}

/**
 * A change of a probability, in percentage points with a sign.
 *
 * @param {number} change
 */
function points(change) {
  const magnitude = Math.abs(change * 100);
  const text = magnitude.toFixed(magnitude < 1 ? 2 : 1);
  if (Number(text) === 0) return change === 0 ? "0" : "≈ 0";
  return (change < 0 ? "−" : "+") + text;
}
