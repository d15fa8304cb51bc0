/** The sum of the unit that is looked at: asked for, shown, and replaced when another unit is looked at. */
// @ts-check

import { el, find, speak } from "../basics/dom.js";
import { number } from "../basics/format.js";
import * as filter from "../surgery/filter.js";
import * as sum from "./sum.js";

/** @import { ScaleAnswer, StageAnswer, StageExplanation, UnitPosition } from "../types.js" */
/** @import { StageView } from "./stage.js" */
/** @import { Unit } from "./units.js" */

const MAX_KEPT = 400; // answers about one channel, so that a pointer that comes back asks for nothing

export class Workings {
  /**
   * @param {StageView} view
   * @param {StageAnswer} layer
   * @param {number} channel
   */
  constructor(view, layer, channel) {
    this.view = view;
    this.layer = layer;
    this.channel = channel;
    this.root = el("div", { class: "sum", id: "sum" });
    this.working = new AbortController();
    /** @type {Map<string, Unit>} by row and column */
    this.kept = new Map();
  }

  /** Abort whatever is being worked out; returns the signal of the new work. */
  restart() {
    this.working.abort();
    this.working = new AbortController();
    return this.working.signal;
  }

  /**
   * Show the arithmetic of a unit. `aloud`: the visitor asked for it, so screen readers hear it.
   *
   * @param {UnitPosition} unit
   * @param {{ aloud?: boolean }} [options]
   */
  async show(unit, { aloud = false } = {}) {
    const signal = this.restart();
    if (this.layer.name === "image") {
      const { width, height } = this.view.context.photo;
      sum.showPixel(this.root, { width, height }, this.layer.shape);
      return null;
    }
    const explained = await this.explain(unit, signal);
    await this.draw(explained, sum.strongestInput(explained), signal);
    if (aloud) {
      const where = this.view.enlarged ? `row ${unit.row}, column ${unit.column}: ` : "";
      speak(`${where}worked out ${number(explained.value)}, the network computed ${number(explained.computed)}.`);
    }
    return explained;
  }

  /**
   * @param {UnitPosition} unit
   * @param {AbortSignal} signal
   */
  async explain({ row, column }, signal) {
    const key = `${row} ${column}`;
    const explained = this.kept.get(key) ?? (await this.view.ask("explain/unit", this.query({ row, column }), signal));
    if (this.kept.size >= MAX_KEPT) this.kept.clear();
    this.kept.set(key, explained);
    return explained;
  }

  /** @param {UnitPosition} unit */
  query = ({ row, column }) => ({ stage: this.layer.name, channel: this.channel, row, column });

  /**
   * @param {Unit} explained
   * @param {number} source the input channel that is shown term by term
   * @param {AbortSignal} signal
   */
  async draw(explained, source, signal) {
    const { view, layer, root } = this;
    const input = explained.inputs[explained.kind === "concatenation" ? explained.chosen : 0];
    const scale = view.enlarged ? await this.fetchInput(input, source, signal) : null;
    signal.throwIfAborted(); // another unit, or another input channel, was chosen meanwhile
    const hadFocus = root.contains(document.activeElement) && document.activeElement?.matches("[data-source]");
    const held = filter.held(root);
    sum.show(root, explained, {
      source,
      scale,
      inputShape: view.shapeOf(input),
      origin: view.find(layer.inputs[0])?.inputs[0],
      classes: view.context.detail.classes,
      onSource: (other) => this.draw(explained, other, this.restart()).catch(view.on.trouble),
    });
    filter.attach(root, explained, source, view.context.surgery, held);
    root.append(view.curl("explain/unit", this.query(explained)));
    if (hadFocus) find(root, "[data-source]").focus({ preventScroll: true });
  }

  /**
   * Show one channel of the input stage; returns its colour scale.
   *
   * @param {string} name
   * @param {number} channel
   * @param {AbortSignal} signal
   * @returns {Promise<ScaleAnswer>}
   */
  async fetchInput(name, channel, signal) {
    const { view } = this;
    const key = name === "image" ? name : `${name} ${channel}`;
    /** @type {StageExplanation} */
    const explained =
      view.inputs.get(key) ??
      (await view.ask("explain/stage", { stage: name, channel, sheet: false, values: false }, signal));
    view.inputs.set(key, explained);
    signal.throwIfAborted();
    view.enlarged?.showInput(explained, channel);
    return explained.scale;
  }
}
