/** What can be changed in the open stage, above its channels: mute one, mute them all, sort them by what that does. */
// @ts-check

import { el, speak } from "../basics/dom.js";
import { Effects } from "./effects.js";

/** @import { StageAnswer } from "../types.js" */
/** @import { StageView } from "../stage/stage.js" */
/** @import { Surgery } from "./surgery.js" */

const FIXED = ["image", "probabilities"]; // the question and the answer

export class Tools {
  /**
   * @param {StageView} view
   * @param {StageAnswer} layer
   * @param {Surgery} surgery
   */
  constructor(view, layer, surgery) {
    this.view = view;
    this.layer = layer;
    this.surgery = surgery;
    this.noun = layer.shape.length === 3 ? "channel" : "unit";
    this.isFixed = FIXED.includes(layer.kind);
    this.one = toggle("mute", () => this.muteOne());
    this.one.title = "m";
    this.all = toggle("mute-all", () => surgery.change((edits) => edits.toggleStage(layer.name)));
    this.all.textContent = "Mute the whole stage";
    this.effects = new Effects(view, layer, surgery, () => this.update());
    this.root = el(
      "div",
      { class: "surgery", role: "group", "aria-label": "Change the network", hidden: this.isFixed },
      this.one,
      this.all,
      this.effects.button,
      this.effects.says,
    );
  }

  /** The chosen channel, even while it is on its way. */
  get channel() {
    return this.surgery.visit.position.channel ?? this.view.channel;
  }

  /** Mute the chosen channel, or have it back. */
  muteOne() {
    const { layer, surgery } = this;
    if (this.isFixed || !this.root.isConnected) return;
    if (surgery.edits.isStageMuted(layer.name)) speak("The whole stage is muted.");
    else surgery.change((edits) => edits.toggle(layer.name, this.channel));
  }

  /** Show which channels are muted and changed. */
  update() {
    const { layer, view, noun, one, all, channel: chosen } = this;
    const { edits } = this.surgery;
    const isAll = edits.isStageMuted(layer.name);
    one.textContent = `Mute ${noun} ${chosen}`;
    one.disabled = isAll;
    one.setAttribute("aria-pressed", String(edits.isMuted(layer.name, chosen)));
    all.setAttribute("aria-pressed", String(isAll));
    for (const button of view.grid.querySelectorAll("button")) {
      const channel = Number(button.dataset.channel);
      const isMuted = edits.isMuted(layer.name, channel);
      const isChanged = !isMuted && edits.find(layer.name, channel) !== undefined;
      button.classList.toggle("muted", isMuted);
      button.classList.toggle("edited", isChanged);
      button.dataset.label ??= button.getAttribute("aria-label") ?? "";
      const more = [isMuted && "muted", isChanged && "changed", this.effects.of(channel)].filter(Boolean);
      button.setAttribute("aria-label", [button.dataset.label, ...more].join(", "));
    }
    const caption = view.near.querySelector(".filter figcaption");
    caption?.toggleAttribute("data-learned", edits.find(layer.name, view.channel)?.kernel !== undefined);
  }

  /** The channels were drawn anew. */
  redrawn() {
    this.effects.arrange();
    this.update();
  }

  /** Another stage is opened. */
  stop() {
    this.effects.stop();
  }
}

/**
 * @param {string} focus
 * @param {() => void} onclick
 */
const toggle = (focus, onclick) =>
  el("button", { type: "button", class: "chip", "aria-pressed": "false", "data-focus": focus, onclick });
