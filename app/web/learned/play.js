/**
 * The timeline's buttons: play, pause, one epoch back or on. It waits for each epoch's answer, and never plays for visitors who
 * prefer reduced motion.
 */
// @ts-check

import { superseded } from "../api.js";
import { el } from "../basics/dom.js";
import { showTrouble } from "../message.js";

const PAUSE = 1200; // milliseconds at each epoch, at least: long enough to see what changed

const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * @typedef {object} PlayListeners
 * @property {() => number} at the epoch that is shown
 * @property {number} last
 * @property {(epoch: number) => Promise<void>} go show another; done once it is answered
 * @property {() => void} rest an epoch stays
 */

export class Play {
  /**
   * @param {PlayListeners} on
   * @param {HTMLElement} slider on which Space plays or pauses
   */
  constructor(on, slider) {
    this.on = on;
    /** @type {object | null} a new one each time it plays */
    this.playing = null;
    this.button = button("Play", "data-play", () => this.toggle());
    this.button.hidden = reducedMotion.matches;
    this.controls = el(
      "div",
      { class: "buttons", role: "group", "aria-label": "Move along the training" },
      button("‹", "data-back", () => this.step(-1), "Previous epoch"),
      this.button,
      button("›", "data-on", () => this.step(1), "Next epoch"),
    );
    slider.addEventListener("keydown", (event) => {
      if (event.key !== " ") return;
      event.preventDefault();
      this.toggle();
    });
  }

  toggle() {
    if (this.playing) this.pause(true);
    else if (reducedMotion.matches) this.step(1);
    else this.play();
  }

  async play() {
    const mine = {};
    const { at, last, go } = this.on;
    this.playing = mine;
    this.button.textContent = "Pause";
    try {
      for (let next = at() < last ? at() + 1 : 0; this.playing === mine && next <= last; next += 1) {
        await Promise.all([go(next), new Promise((resolve) => setTimeout(resolve, PAUSE))]);
      }
    } catch (error) {
      if (!superseded(error)) showTrouble(error);
    } finally {
      if (this.playing === mine) this.pause(true);
    }
  }

  /** Stop; `settled`: the epoch at which it stopped is said. */
  pause(settled = false) {
    if (!this.playing) return;
    this.playing = null;
    this.button.textContent = "Play";
    if (settled) this.on.rest();
  }

  /** @param {number} by */
  step(by) {
    this.pause();
    const { at, last, go, rest } = this.on;
    go(Math.min(last, Math.max(0, at() + by))).then(rest, showTrouble);
  }
}

/**
 * @param {string} text
 * @param {string} mark
 * @param {() => void} onclick
 * @param {string} [label]
 */
const button = (text, mark, onclick, label) =>
  el("button", { type: "button", [mark]: true, "aria-label": label, onclick }, text);
