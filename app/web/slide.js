/** The filter that slides over the picture: played, paused, stepped; it never plays for those who ask for less motion. */

import { el } from "./dom.js";

const PLACES = 26; // rows and columns that are stopped at when playing; a large picture is crossed in larger steps
const PAUSE = 60; // milliseconds at each

const calm = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * `shape` is the stage's; `on.at` tells the unit that is chosen, `on.move` hears of every place the filter comes to, and
 * `on.rest` of the one it stays at.
 */
export class Slide {
  constructor([height, width], on) {
    this.height = height;
    this.width = width;
    this.on = on;
    this.stride = Math.max(1, Math.ceil(Math.max(height, width) / PLACES));
    this.button = el("button", { type: "button", "data-play": true, onclick: () => this.toggle() }, "Slide the filter");
    this.controls = el(
      "div",
      { class: "buttons", role: "group", "aria-label": "The moving filter" },
      this.button,
      el("button", { type: "button", "data-step": true, onclick: () => this.step() }, "One step"),
      el("button", { type: "button", "data-rewind": true, onclick: () => this.rewind() }, "To the start"),
    );
    this.button.hidden = calm.matches;
  }

  toggle() {
    if (this.playing) this.pause(true);
    else this.play();
  }

  play() {
    if (calm.matches) {
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

  /** Stop; `settled` says that the place it stopped at is now the visitor's. */
  pause(settled = false) {
    if (!this.playing) return;
    clearInterval(this.playing);
    this.playing = null;
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

  /** The place after the current one, reading like a page, or null at the end. */
  next(stride) {
    const { row, column } = this.on.at();
    if (column + stride < this.width) return { row, column: column + stride };
    if (row + stride < this.height) return { row: row + stride, column: 0 };
    return null;
  }
}
