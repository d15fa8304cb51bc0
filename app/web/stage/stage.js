/** Act two, in detail: one stage with all its channels, one of them enlarged, and the sum behind one of its units. */
// @ts-check

import * as api from "../api.js";
import { $, el, find, speak } from "../basics/dom.js";
import { number } from "../basics/format.js";
import * as channels from "./channels.js";
import { Enlarged } from "./enlarged.js";
import { head } from "./head.js";
import { decode, largest, standout, within } from "./pick.js";
import * as sum from "./sum.js";

/** @import { Query } from "../api.js" */
/** @import { Position, ScaleAnswer, StageAnswer, StageContext, StageExplanation, StageListeners } from "../types.js" */
/** @import { UnitPosition } from "../types.js" */
/** @import { Unit } from "./units.js" */

const DELAY = 180; // milliseconds the crosshair has to rest before its sum is asked for

/** The view of one photo's stages. */
export class StageView {
  /**
   * @param {StageContext} context
   * @param {StageListeners} on
   */
  constructor(context, on) {
    this.context = context;
    this.on = on;
    this.root = $("stage");
    this.near = el("div", { class: "near" });
    this.grid = el("div");
    this.sum = el("div");
    this.opening = new AbortController();
    this.working = new AbortController();
    this.channel = 0;
    /** @type {UnitPosition} */
    this.unit = { row: 0, column: 0 };
    /** @type {StageAnswer | undefined} */
    this.layer = undefined;
    /** @type {Enlarged | null} null: the stage is no picture */
    this.enlarged = null;
    /** @type {ScaleAnswer | null} */
    this.inputScale = null;
    /** @type {string | null} */
    this.filterPicture = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.resting = undefined;
    /** @type {Map<string, StageExplanation>} channels of input stages, by stage and channel */
    this.inputs = new Map();
  }

  /**
   * Open a stage at a position; what the position leaves open is chosen: a channel that stands out, its largest value.
   *
   * @param {StageAnswer} layer
   * @param {Position} position
   */
  async open(layer, position) {
    const { prediction, detail } = this.context;
    const focused = document.activeElement;
    const focus = focused instanceof HTMLElement && this.root.contains(focused) ? (focused.dataset.focus ?? "") : null;
    this.root.style.setProperty("min-height", `${this.root.offsetHeight}px`); // so that the page does not jump meanwhile
    this.clear();
    this.layer = layer;
    const strongest = standout(prediction.feature_maps.find((map) => map.stage === layer.name)?.channels);
    const channel = Math.min(position.channel ?? strongest, last(layer.shape) - 1);
    const query = { stage: layer.name, channel };
    this.root.hidden = false;
    this.root.setAttribute("aria-busy", "true");
    this.root.replaceChildren(head(detail, layer, last(this.shapeOf(layer.inputs[0])), this.on));
    this.restoreFocus(focus);
    try {
      const explained = await this.ask("explain/stage", query);
      this.grid = channels.grid(explained, channel, (index) => this.choose(layer, index));
      this.near = el("div", { class: "near" });
      this.root.append(this.grid, this.near, this.curl("explain/stage", query));
      const enlarged = this.enlarge(layer, explained, position);
      this.restoreFocus(focus);
      await enlarged;
    } catch (error) {
      if (!api.superseded(error)) {
        this.root.append(el("button", { type: "button", onclick: () => this.on.open(layer.name) }, "Try again"));
      }
      throw error;
    } finally {
      if (this.layer === layer) {
        this.root.removeAttribute("aria-busy");
        this.root.style.removeProperty("min-height");
      }
    }
  }

  /**
   * Return the focus to what replaced the focused element, which `focus` names; null: it was elsewhere and stays there.
   *
   * @param {string | null} focus
   */
  restoreFocus(focus) {
    const isLost = document.activeElement === document.body || document.activeElement === this.root;
    if (focus === null || !isLost) return;
    const heir = focus && this.root.querySelector(`[data-focus="${focus}"]`);
    (heir instanceof HTMLElement ? heir : this.root).focus({ preventScroll: true });
  }

  /** Stop everything that is under way and hide the view. */
  close() {
    this.clear();
    this.root.hidden = true;
    this.root.style.removeProperty("min-height");
  }

  clear() {
    this.opening.abort();
    this.opening = new AbortController();
    this.enlarged?.slide.pause();
    this.enlarged = null;
    clearTimeout(this.resting);
    this.inputScale = null;
    this.releaseFilter();
    this.root.replaceChildren();
  }

  /** Free the memory of the filter's picture. */
  releaseFilter() {
    if (this.filterPicture) URL.revokeObjectURL(this.filterPicture);
    this.filterPicture = null;
  }

  /**
   * Ask about the photo, until another stage, channel or photo is opened.
   *
   * @template {"explain/stage" | "explain/unit"} P
   * @param {P} path
   * @param {Query} query
   * @param {AbortSignal} [until]
   */
  ask(path, query, until = this.opening.signal) {
    const { photo, detail, signal } = this.context;
    return api.post(
      path,
      { network: detail.network, ...query },
      photo,
      AbortSignal.any([signal, this.opening.signal, until]),
    );
  }

  /**
   * @param {string} path
   * @param {Query} query
   */
  curl(path, query) {
    const { photo, detail } = this.context;
    const command = api.curl(path, { network: detail.network, ...query }, photo);
    return el(
      "details",
      { class: "curl" },
      el("summary", {}, "The same request with curl"),
      el("pre", { tabindex: 0 }, el("code", {}, command)),
    );
  }

  /**
   * The stage or inner layer of that name.
   *
   * @param {string} name
   */
  find(name) {
    const { detail } = this.context;
    return [...detail.stages, ...detail.inner].find((one) => one.name === name);
  }

  /** @param {string} name */
  shapeOf(name) {
    return this.find(name)?.shape ?? this.context.detail.input_shape;
  }

  /**
   * Choose another channel of the same stage: a step that "back" undoes.
   *
   * @param {StageAnswer} layer
   * @param {number} channel
   */
  async choose(layer, channel) {
    this.enlarged?.slide.pause();
    clearTimeout(this.resting);
    this.opening.abort();
    this.opening = new AbortController();
    channels.choose(this.grid, channel);
    this.on.move({ stage: layer.name, channel, ...this.unit }, true);
    try {
      const explained = await this.ask("explain/stage", { stage: layer.name, channel, sheet: false });
      const enlarged = this.enlarge(layer, explained, this.unit);
      this.near.scrollIntoView({ block: "nearest" });
      await enlarged;
    } catch (error) {
      if (!api.superseded(error)) channels.choose(this.grid, this.channel);
      this.on.trouble(error);
    }
  }

  /**
   * Draw the enlarged channel and what belongs to it, and work out one unit.
   *
   * @param {StageAnswer} layer
   * @param {StageExplanation} explained
   * @param {Partial<Position>} position
   */
  async enlarge(layer, explained, position) {
    const { photo, detail } = this.context;
    const { plane } = explained;
    if (!plane?.values) throw new TypeError(`The answer about ${layer.name} has no values.`);
    const isFlat = layer.shape.length !== 3;
    const values = decode(plane.values);
    this.channel = plane.index;
    this.unit = isFlat ? { row: 0, column: 0 } : (within(position, layer.shape) ?? largest(values, layer.shape));
    this.sum = el("div", { class: "sum", id: "sum" });
    const inputShape = this.shapeOf(layer.inputs[0]);
    const context = { photo, layer, inputShape, photoShape: detail.input_shape };
    this.enlarged = isFlat
      ? null
      : new Enlarged(plane, values, context, {
          at: () => this.unit,
          move: (unit) => this.slideTo(unit),
          choose: (unit, options) => this.pin(layer, unit, options),
        });
    this.near.replaceChildren(...(this.enlarged ? [this.enlarged.root, this.sum] : [this.sum]));
    this.enlarged?.show(this.unit);
    this.on.move({ stage: layer.name, channel: this.channel, ...this.unit }, false);
    await Promise.all([this.workOut(layer), this.fetchFilter(layer)]);
  }

  /**
   * Choose a unit. Its sum is worked out after `delay` milliseconds, unless another is chosen; on a touch screen it is then
   * scrolled into view.
   *
   * @param {StageAnswer} layer
   * @param {UnitPosition} unit
   * @param {{ delay?: number, touched?: boolean }} [options]
   */
  pin(layer, unit, { delay = DELAY, touched = false } = {}) {
    this.enlarged?.slide.pause();
    this.unit = unit;
    this.enlarged?.unveil();
    this.enlarged?.show(unit);
    this.on.move({ stage: layer.name, channel: this.channel, ...unit }, false);
    clearTimeout(this.resting);
    this.resting = setTimeout(async () => {
      try {
        await this.workOut(layer);
        if (touched) this.sum.scrollIntoView({ block: "nearest" });
      } catch (error) {
        this.on.trouble(error);
      }
    }, delay);
  }

  /** @param {UnitPosition} unit */
  slideTo(unit) {
    this.unit = unit;
    this.enlarged?.show(unit);
    this.enlarged?.veilAfter(unit);
  }

  /**
   * Ask for the arithmetic of the chosen unit and show it.
   *
   * @param {StageAnswer} layer
   */
  async workOut(layer) {
    const { unit, channel } = this;
    const query = { stage: layer.name, channel, row: unit.row, column: unit.column };
    const signal = this.restartWork();
    const explained = await this.ask("explain/unit", query, signal);
    this.on.unit(explained);
    await this.showSum(layer, explained, sum.strongestInput(explained), query, signal);
    const where = this.enlarged ? `row ${unit.row}, column ${unit.column}` : `number ${channel}`;
    speak(`${where}: worked out ${number(explained.value)}, the network computed ${number(explained.computed)}.`);
  }

  /** Abort whatever is being worked out; returns the signal of the new work. */
  restartWork() {
    this.working.abort();
    this.working = new AbortController();
    return this.working.signal;
  }

  /**
   * @param {StageAnswer} layer
   * @param {Unit} explained
   * @param {number} source the input channel that is shown term by term
   * @param {Query} query
   * @param {AbortSignal} signal
   */
  async showSum(layer, explained, source, query, signal) {
    const input = explained.inputs[explained.kind === "concatenation" ? explained.chosen : 0];
    if (this.enlarged) await this.fetchInput(input, source, signal);
    signal.throwIfAborted(); // another unit, or another input channel, was chosen meanwhile
    const hadFocus = this.sum.contains(document.activeElement) && document.activeElement?.matches("[data-source]");
    sum.show(this.sum, explained, {
      source,
      scale: this.enlarged ? this.inputScale : null,
      inputShape: this.shapeOf(input),
      origin: this.find(layer.inputs[0])?.inputs[0],
      classes: this.context.detail.classes,
      onSource: (other) => this.showSum(layer, explained, other, query, this.restartWork()).catch(this.on.trouble),
    });
    this.sum.append(this.curl("explain/unit", query));
    if (hadFocus) find(this.sum, "[data-source]").focus({ preventScroll: true });
  }

  /**
   * Show one channel of the input stage.
   *
   * @param {string} name
   * @param {number} channel
   * @param {AbortSignal} signal
   */
  async fetchInput(name, channel, signal) {
    const key = name === "image" ? name : `${name} ${channel}`;
    const explained =
      this.inputs.get(key) ??
      (await this.ask("explain/stage", { stage: name, channel, sheet: false, values: false }, signal));
    this.inputs.set(key, explained);
    signal.throwIfAborted();
    this.inputScale = explained.scale;
    this.enlarged?.showInput(explained, channel);
  }

  /**
   * Show the whole filter of the chosen channel, if the stage has filters.
   *
   * @param {StageAnswer} layer
   */
  async fetchFilter(layer) {
    if (!layer.kind.includes("convolution")) return;
    const { detail, signal } = this.context;
    const { channel } = this;
    const path = `models/${detail.network}/kernels/${layer.name}`;
    const url = await api.picture(path, { channel }, AbortSignal.any([signal, this.opening.signal]));
    this.releaseFilter();
    this.filterPicture = url;
    this.enlarged?.showFilter(url, channel);
  }
}

/** @param {number[]} shape */
const last = (shape) => shape[shape.length - 1];
