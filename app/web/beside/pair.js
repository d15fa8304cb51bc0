/** Two photos side by side: what the network says of each, and the same unit of the same channel with each one's number. */
// @ts-check

import { onPage } from "../acts/answer.js";
import * as api from "../api.js";
import { el, speak } from "../basics/dom.js";
import { channel as channelName } from "../basics/words.js";
import { decode } from "../stage/pick.js";
import { forget, uploaded } from "../upload.js";
import { Newest } from "./newest.js";
import { Side } from "./side.js";

/** @import { Photo, Prediction, Shown, UnitPosition } from "../types.js" */
/** @import { StageView } from "../stage/stage.js" */

/** @typedef {{ network: string, edits: string | null }} Asked which network, and how it is changed */

export class Pair {
  /**
   * @param {Photo} photo the second, which the service has answered
   * @param {() => void} close
   */
  constructor(photo, close) {
    this.photo = photo;
    this.turn = 0; // counts what is followed, so that what arrives late is not shown
    this.spoken = "";
    this.predicted = new Newest();
    this.explained = new Newest();
    /** @type {StageView | null} */
    this.view = null;
    this.first = new Side("first", (unit) => this.aim(unit));
    this.second = new Side("second", (unit) => this.aim(unit));
    this.where = el("p", { class: "readout" });
    this.scales = el("p", { class: "quiet" }, "Each photo has its own colour scale: compare the numbers.");
    const sides = el("div", { class: "pair" }, this.first.root, this.second.root);
    /** @type {Prediction | null} what was said of the second photo */
    this.said = null;
    this.wrong = el("button", { type: "button", class: "link", onclick: () => this.correct() }, "That’s wrong");
    this.correcting = el("div", { class: "correcting" });
    this.second.says.after(this.correcting);
    const shut = el("button", { type: "button", onclick: close }, "Take it away");
    this.root = el("div", { class: "stage" }, this.where, sides, this.scales, shut);
  }

  /** Stop asking, and free the photo. */
  leave() {
    this.turn += 1;
    this.predicted.stop();
    this.explained.stop();
    forget(this.photo);
  }

  /**
   * Show of both photos what the view shows of the first: its network, its changes, its stage, channel and crosshair. Rejects
   * with an AbortError if it shows something else meanwhile.
   *
   * @param {StageView} view
   */
  async follow(view) {
    this.view = view;
    this.turn += 1;
    const mine = this.turn;
    const { shown, unit } = view;
    const { detail, surgery, photo } = view.context;
    const asked = { network: detail.network, edits: surgery.edits.text() };
    this.root.setAttribute("aria-busy", "true");
    try {
      await uploaded(this.photo, asked.network).inputs; // from here on a small file stands for the photo
      if (mine !== this.turn) return;
      const query = { ...asked, feature_maps: "none", precision: "float32" };
      const [answer, beside] = await Promise.all([
        this.predicted.ask(query, (signal) => api.post("predict", query, this.photo, signal)),
        shown && this.channel(shown, asked),
      ]);
      const own = onPage();
      if (mine !== this.turn || own?.photo !== photo) return;
      this.first.say(photo, own.prediction, asked);
      this.say(this.second.say(this.photo, answer, asked));
      if (answer !== this.said) this.correcting.replaceChildren(this.wrong);
      this.said = answer;
      this.where.hidden = !shown;
      if (shown && beside) this.draw(shown, beside, unit, detail.input_shape);
    } finally {
      if (mine === this.turn) this.root.removeAttribute("aria-busy");
    }
  }

  /**
   * The channel of the second photo that is shown of the first.
   *
   * @param {Shown} shown
   * @param {Asked} asked
   * @returns {Promise<Shown>}
   */
  channel({ layer, plane: { index } }, asked) {
    const query = { ...asked, stage: layer.name, channel: index, sheet: false };
    return this.explained.ask(query, async (signal) => {
      const { plane, scale } = await api.post("explain/stage", query, this.photo, signal);
      if (!plane?.values) throw new TypeError(`The answer about ${layer.name} has no values.`);
      return { layer, plane, scale, values: decode(plane.values) };
    });
  }

  /**
   * @param {Shown} first
   * @param {Shown} second
   * @param {UnitPosition} unit
   * @param {number[]} photoShape
   */
  draw(first, second, unit, photoShape) {
    const { layer, plane } = first;
    const isPicture = layer.shape.length === 3;
    const isSameScale = first.scale.bottom === second.scale.bottom && first.scale.top === second.scale.top;
    this.first.draw(first, unit, photoShape);
    this.second.draw(second, unit, photoShape);
    this.scales.hidden = !isPicture || isSameScale;
    this.where.textContent = isPicture
      ? `${layer.name}, ${channelName(layer.name, plane.index)}, row ${unit.row}, column ${unit.column}`
      : `${layer.name}, number ${plane.index}`;
  }

  async correct() {
    const { ask } = await import("../correct/correct.js");
    if (this.said) ask(this.correcting, { photo: this.photo, prediction: this.said });
  }

  /** Choose a unit in the walk, unless another stage is being opened there. @param {UnitPosition} unit */
  aim(unit) {
    const { layer, shown } = this.view ?? {};
    if (layer && shown?.layer === layer) this.view?.pin(layer, unit);
  }

  /** Announce an answer, once. @param {string} sentence */
  say(sentence) {
    if (sentence !== this.spoken) speak(`${this.photo.name}: ${sentence}`);
    this.spoken = sentence;
  }
}
