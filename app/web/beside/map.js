/** One channel of a stage as a picture with a crosshair, and the number there. */
// @ts-check

import { el, svg } from "../basics/dom.js";
import { number } from "../basics/format.js";
import { outline, overlay } from "../stage/outline.js";

/** @import { PlaneAnswer, ScaleAnswer, UnitPosition } from "../types.js" */

/** @typedef {{ plane: PlaneAnswer, scale: ScaleAnswer, values: Float32Array }} Shown a channel and its numbers, row by row */

export class ChannelMap {
  /** @param {string} whose photo it is of */
  constructor(whose) {
    this.whose = whose;
    this.held = el("div", { class: "held" });
    this.caption = el("figcaption");
    this.root = el("figure", {}, this.held, this.caption);
    /** @type {{ shown: Shown, shape: number[] } | null} */
    this.drawn = null;
    this.crosshair = svg("path", { class: "crosshair" });
    this.over = overlay([1, 1]);
  }

  /**
   * Show a channel of a stage that is a picture, or the one number of a unit.
   *
   * @param {Shown} shown
   * @param {number[]} shape the stage's
   */
  draw(shown, shape) {
    if (this.drawn?.shown === shown) return;
    const isPicture = shape.length === 3;
    this.drawn = { shown, shape: isPicture ? shape : [1, 1] };
    this.held.hidden = !isPicture;
    if (!isPicture) return;
    this.over = overlay(shape);
    this.over.prepend(this.crosshair);
    const colours = shown.scale.bottom < 0 ? "pixels signed" : "pixels";
    this.held.style.setProperty("aspect-ratio", `${shape[1]} / ${shape[0]}`);
    this.held.replaceChildren(el("img", { src: shown.plane.picture, alt: "", class: colours }), this.over);
  }

  /**
   * Put the crosshair on a unit.
   *
   * @param {UnitPosition} unit
   */
  mark({ row, column }) {
    if (!this.drawn) return;
    const { shown, shape } = this.drawn;
    const [rows, columns] = shape;
    this.crosshair.setAttribute("d", `M0 ${row + 0.5}H${columns}M${column + 0.5} 0V${rows}`);
    outline(this.over, { top: row, left: column, bottom: row + 1, right: column + 1 });
    const value = shown.values[row * columns + column];
    const { bottom, top } = shown.scale;
    const colours = this.held.hidden ? "" : `, in colours from ${number(bottom)} to ${number(top)}`;
    this.caption.dataset.value = String(value);
    this.caption.replaceChildren(`${this.whose}: `, el("strong", {}, number(value)), colours);
  }
}
