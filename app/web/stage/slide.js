/**
 * The filter that slides over the picture: play, pause, step. It moves by one unit, so that its window moves by the stride, and
 * waits for each unit's sum. It never plays for visitors who prefer reduced motion.
 */
// @ts-check

import { el } from "../basics/dom.js";

/** @import { UnitPosition } from "../types.js" */

const PAUSE = 220; // milliseconds at each unit, at least: long enough to see its numbers change

const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * @typedef {object} SlideListeners
 * @property {() => UnitPosition} at where the filter is
 * @property {(unit: UnitPosition) => Promise<void>} move the filter moves there; done once its sum is shown
 * @property {() => void} rest the filter stays where it is
 * @property {(error: unknown) => void} trouble
 */

export class Slide {
  /**
   * @param {number[]} shape the stage's
   * @param {string} what slides over the picture
   * @param {SlideListeners} on
   */
  constructor([height, width], what, on) {
    this.what = what;
    this.height = height;
    this.width = width;
    this.on = on;
    /** @type {object | null} a new one each time it plays */
    this.playing = null;
    this.button = el(
      "button",
      { type: "button", "data-play": true, onclick: () => this.toggle() },
      `Slide the ${this.what}`,
    );
    this.controls = el(
      "div",
      { class: "buttons", role: "group", "aria-label": `Move the ${what}` },
      this.button,
      el("button", { type: "button", "data-step": true, onclick: () => this.step() }, "One step"),
      el("button", { type: "button", "data-rewind": true, onclick: () => this.rewind() }, "To the start"),
    );
    this.button.hidden = reducedMotion.matches;
  }

  toggle() {
    if (this.playing) this.pause(true);
    else this.play().catch(this.on.trouble);
  }

  async play() {
    if (reducedMotion.matches) {
      this.step();
      return;
    }
    const mine = {};
    this.playing = mine;
    this.button.textContent = "Pause";
    try {
      for (let next = this.next() ?? START; this.playing === mine; next = this.next() ?? END) {
        if (next === END) break;
        await Promise.all([this.on.move(next), new Promise((resolve) => setTimeout(resolve, PAUSE))]);
      }
    } finally {
      if (this.playing === mine) this.pause(true);
    }
  }

  /** Stop; `settled`: the unit at which it stopped becomes the chosen one. */
  pause(settled = false) {
    if (!this.playing) return;
    this.playing = null;
    this.button.textContent = `Slide the ${this.what}`;
    if (settled) this.on.rest();
  }

  step() {
    this.go(this.next() ?? START);
  }

  rewind() {
    this.go(START);
  }

  /** @param {UnitPosition} unit */
  go(unit) {
    this.pause();
    this.on.move(unit).catch(this.on.trouble);
    this.on.rest();
  }

  /**
   * The next unit in reading order, or null at the end.
   *
   * @returns {UnitPosition | null}
   */
  next() {
    const { row, column } = this.on.at();
    if (column + 1 < this.width) return { row, column: column + 1 };
    if (row + 1 < this.height) return { row: row + 1, column: 0 };
    return null;
  }
}

const START = { row: 0, column: 0 };
const END = { row: -1, column: -1 };
