/** Act two, in detail: one stage with all its channels, one of them enlarged, and the sum behind one of its units. */
// @ts-check

import * as api from "../api.js";
import { $, el } from "../basics/dom.js";
import * as channels from "./channels.js";
import { Enlarged, weights } from "./enlarged.js";
import { head } from "./head.js";
import { decode, largest, standout, within } from "./pick.js";
import { Workings } from "./workings.js";

/** @import { Query } from "../api.js" */
/** @import { NetworkDetail, Position, StageAnswer, WindowAnswer, StageContext, StageExplanation, StageListeners } from "../types.js" */
/** @import { Shown, UnitPosition } from "../types.js" */

const DELAY = 180; // milliseconds the crosshair has to rest before its sum is asked for
const SUM_HEAD = 160; // pixels of the sum that have to be seen to see what it says
const START = { row: 0, column: 0 };

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
    this.opening = new AbortController();
    this.channel = 0;
    /** @type {UnitPosition} */
    this.unit = START;
    /** @type {Shown | null} the newest channel */
    this.shown = null;
    this.workings = new Workings(this, context.detail.stages[0], 0); // of no unit yet
    /** @type {StageAnswer | undefined} */
    this.layer = undefined;
    /** @type {Enlarged | null} null: the stage is no picture */
    this.enlarged = null;
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
      this.root.append(this.context.surgery.open(this, layer), this.grid, this.near, this.curl("explain/stage", query));
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
    const { photo, detail, signal, surgery } = this.context;
    const whole = { network: detail.network, edits: surgery.edits.text(), ...query };
    return api.post(path, whole, photo, AbortSignal.any([signal, this.opening.signal, until]));
  }

  /**
   * @param {string} path
   * @param {Query} query
   */
  curl(path, query) {
    const { photo, detail, surgery } = this.context;
    const command = api.curl(path, { network: detail.network, edits: surgery.edits.text(), ...query }, photo);
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
    return [imageOf(detail), ...detail.stages, ...detail.inner].find((one) => one.name === name);
  }

  /** @param {string} name */
  shapeOf(name) {
    return this.find(name)?.shape ?? this.context.detail.input_shape;
  }

  /**
   * The shape of the picture that was flattened before a fully connected stage, if one was.
   *
   * @param {StageAnswer} layer
   */
  flattened(layer) {
    const before = this.find(layer.inputs[0]);
    return before?.kind === "flatten" ? this.shapeOf(before.inputs[0]) : null;
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
    this.context.surgery.tools?.update();
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
    const values = this.draw(layer, explained);
    const { input_shape: photoShape } = this.context.detail;
    this.unit = this.enlarged ? (within(position, layer.shape) ?? largest(values, layer, photoShape)) : START;
    this.workings.restart();
    this.workings = new Workings(this, layer, this.channel);
    const sum = this.workings.root;
    this.near.replaceChildren(...(this.enlarged ? [this.enlarged.root, sum] : [sum]));
    this.enlarged?.show(this.unit);
    this.on.move({ stage: layer.name, channel: this.channel, ...this.unit }, false);
    this.context.surgery.tools?.update();
    await Promise.all([this.workOut(this.unit), this.fetchFilter(layer)]);
  }

  /**
   * Draw the enlarged channel, if the stage is a picture; returns its values.
   *
   * @param {StageAnswer} layer
   * @param {StageExplanation} explained
   */
  draw(layer, { plane, scale }) {
    const { photo, detail } = this.context;
    if (!plane?.values) throw new TypeError(`The answer about ${layer.name} has no values.`);
    const values = decode(plane.values);
    this.shown = { layer, plane, scale, values };
    this.channel = plane.index;
    const inputShape = this.shapeOf(layer.inputs[0]);
    const context = { photo, layer, scale, inputShape, photoShape: detail.input_shape };
    const isPicture = layer.shape.length === 3;
    this.enlarged = isPicture
      ? new Enlarged(plane, values, context, {
          at: () => this.unit,
          move: (unit) => this.slideTo(unit),
          look: (unit) => this.rest(unit),
          choose: (unit, options) => this.pin(layer, unit, options),
          trouble: this.on.trouble,
        })
      : null;
    return values;
  }

  /**
   * Choose a unit. Its sum is worked out after `delay` milliseconds, unless another is chosen. On a touch screen the page then
   * scrolls as far as it takes to see the pictures and the sum at once.
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
    const isHidden = this.workings.root.getBoundingClientRect().top > innerHeight - SUM_HEAD;
    if (touched && isHidden) this.near.scrollIntoView({ block: "start" });
    this.rest(unit, { delay, aloud: true });
  }

  /**
   * Work out a unit's sum once it has been looked at for `delay` milliseconds.
   *
   * @param {UnitPosition} unit
   * @param {{ delay?: number, aloud?: boolean }} [options]
   */
  rest(unit, { delay = DELAY, aloud = false } = {}) {
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.workOut(unit, { aloud }).catch(this.on.trouble), delay);
  }

  /**
   * The sliding filter comes to a unit.
   *
   * @param {UnitPosition} unit
   */
  async slideTo(unit) {
    clearTimeout(this.resting);
    this.unit = unit;
    this.enlarged?.show(unit);
    this.enlarged?.veilAfter(unit);
    await this.workOut(unit);
  }

  /**
   * Show the arithmetic of a unit.
   *
   * @param {UnitPosition} unit
   * @param {{ aloud?: boolean }} [options]
   */
  async workOut(unit, options) {
    const explained = await this.workings.show(unit, options);
    if (!explained) return;
    if (unit.row === this.unit.row && unit.column === this.unit.column) this.on.unit(explained);
  }

  /**
   * Show the whole filter of the chosen channel, if the stage has filters.
   *
   * @param {StageAnswer} layer
   */
  async fetchFilter(layer) {
    if (!layer.kind.includes("convolution") && layer.kind !== "dense") return;
    const { detail, signal } = this.context;
    const { channel } = this;
    const path = `models/${detail.network}/kernels/${layer.name}`;
    const url = await api.picture(path, { channel }, AbortSignal.any([signal, this.opening.signal]));
    this.releaseFilter();
    this.filterPicture = url;
    this.showFilter(layer, url);
  }

  /**
   * @param {StageAnswer} layer
   * @param {string} url of the filter's picture
   */
  showFilter(layer, url) {
    if (this.enlarged) this.enlarged.showFilter(url, this.channel);
    else this.near.append(weights(url, this.channel, this.flattened(layer)));
    this.context.surgery.tools?.update();
  }
}

/**
 * The network's input as if it were a stage: it opens like one, and nothing is computed in it.
 *
 * @param {NetworkDetail} detail
 * @returns {StageAnswer}
 */
function imageOf({ input_shape: shape }) {
  /** @type {WindowAnswer} */
  const one = { size: [1, 1], step: [1, 1], offset: [0, 0] };
  return { name: "image", kind: "image", shape, inputs: ["image"], parameters: 0, window: one, receptive_field: one };
}

/** @param {number[]} shape */
const last = (shape) => shape[shape.length - 1];
