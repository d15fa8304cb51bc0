/** The filter that slides over the picture: play, pause, step. It never plays for visitors who prefer reduced motion. */
// @ts-check

import { el } from "../basics/dom.js";

/** @import { UnitPosition } from "../types.js" */

const MAX_STOPS = 26; // rows and columns at which the filter stops when it plays; it takes larger steps over large pictures
const PAUSE = 60; // milliseconds at each stop

const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * @typedef {object} SlideListeners
 * @property {() => UnitPosition} at where the filter is
 * @property {(unit: UnitPosition) => void} move the filter moves there
 * @property {() => void} rest the filter stays where it is
 */

export class Slide {
  /**
   * @param {number[]} shape the stage's
   * @param {SlideListeners} on
   */
  constructor([height, width], on) {
    this.height = height;
    this.width = width;
    this.on = on;
    this.stride = Math.max(1, Math.ceil(Math.max(height, width) / MAX_STOPS));
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this.playing = undefined;
    this.button = el("button", { type: "button", "data-play": true, onclick: () => this.toggle() }, "Slide the filter");
    this.controls = el(
      "div",
      { class: "buttons", role: "group", "aria-label": "Move the filter" },
      this.button,
      el("button", { type: "button", "data-step": true, onclick: () => this.step() }, "One step"),
      el("button", { type: "button", "data-rewind": true, onclick: () => this.rewind() }, "Back to the start"),
    );
    this.button.hidden = reducedMotion.matches;
  }

  toggle() {
    if (this.playing) this.pause(true);
    else this.play();
  }

  play() {
    if (reducedMotion.matches) {
      this.step();
      return;
    }
    if (!this.next(this.stride)) this.on.move({ row: 0, column: 0 });
    this.button.textContent = "Pause";
    this.playing = setInterval(() => {
      const next = this.next(this.stride);
      if (next) this.on.move(next);
      else this.pause(true);
    }, PAUSE);
  }

  /** Stop; `settled`: the unit at which it stopped becomes the chosen one. */
  pause(settled = false) {
    if (!this.playing) return;
    clearInterval(this.playing);
    this.playing = undefined;
    this.button.textContent = "Slide the filter";
    if (settled) this.on.rest();
  }

  step() {
    this.pause();
    this.on.move(this.next(1) ?? { row: 0, column: 0 });
    this.on.rest();
  }

  rewind() {
    this.pause();
    this.on.move({ row: 0, column: 0 });
    this.on.rest();
  }

  /**
   * The next unit in reading order, or null at the end.
   *
   * @param {number} stride
   */
  next(stride) {
    const { row, column } = this.on.at();
    if (column + stride < this.width) return { row, column: column + stride };
    if (row + stride < this.height) return { row: row + stride, column: 0 };
    return null;
  }
}
