/** One of two photos: what the network says of it, what a unit sees of it, a channel with the crosshair and its number. */
// @ts-check

import { el, svg } from "../basics/dom.js";
import { number, percent } from "../basics/format.js";
import { mainClass, networkName, shortVerdict, verdict } from "../basics/words.js";
import { legend } from "../stage/channels.js";
import { neighbour, under } from "../stage/enlarged.js";
import { framed, outline, overlay, seen } from "../stage/outline.js";

/** @import { Photo, Prediction, Shown, UnitPosition } from "../types.js" */

export class Side {
  /**
   * @param {"first" | "second"} which
   * @param {(unit: UnitPosition) => void} onAim a unit is chosen here
   */
  constructor(which, onAim) {
    this.onAim = onAim;
    /** @type {{ shape: number[], unit: UnitPosition }} what is drawn */
    this.drawn = { shape: [1, 1], unit: { row: 0, column: 0 } };
    this.name = el("h3");
    this.says = el("p", { class: `says-${which}` });
    this.image = el("img");
    this.onPhoto = overlay([1, 1]);
    this.framed = el("div", { class: "held" }, this.image, this.onPhoto);
    this.plane = el("img", { alt: "" });
    this.crosshair = svg("path", { class: "crosshair" });
    this.onMap = overlay([1, 1]);
    this.onMap.prepend(this.crosshair);
    const surface = { class: "held aimed", role: "application", tabindex: 0 };
    this.map = el("div", surface, this.plane, this.onMap);
    this.map.addEventListener("click", (event) => onAim(under(event, this.map, this.drawn.shape)));
    this.map.addEventListener("keydown", (event) => this.key(event));
    this.caption = el("figcaption");
    this.figure = el("figure", { hidden: true }, this.map, this.caption);
    this.root = el("section", {}, this.name, this.says, el("div", { class: "whole" }, this.framed), this.figure);
  }

  /**
   * Show the photo and what the network says of it; returns that sentence.
   *
   * @param {Photo} photo
   * @param {Pick<Prediction, "label" | "verdict" | "probabilities">} answer
   * @param {{ network: string, edits: string | null }} asked
   */
  say(photo, answer, { network, edits }) {
    const main = mainClass(answer);
    const changed = edits ? " with your changes" : "";
    this.name.textContent = photo.name;
    this.says.dataset.value = String(answer.probabilities[main]);
    this.says.replaceChildren(
      el("strong", {}, verdict(answer.verdict)),
      ` ${percent(answer.probabilities[main])} ${shortVerdict(main)}, says ${networkName(network)}${changed}.`,
    );
    show(this.image, photo.url);
    this.image.alt = `The photo ${photo.name}`;
    for (const [property, value] of Object.entries(framed(photo))) this.framed.style.setProperty(property, value);
    return this.says.textContent ?? "";
  }

  /**
   * Show a channel with the crosshair on a unit, what that unit sees of the photo, and its number. A stage that is no picture
   * has only the number.
   *
   * @param {Shown} shown
   * @param {UnitPosition} unit
   * @param {number[]} photoShape
   */
  draw({ layer, plane, scale, values }, { row, column }, photoShape) {
    const isPicture = layer.shape.length === 3;
    const [rows, columns] = isPicture ? layer.shape : [1, 1];
    const isOfBothSigns = scale.bottom < 0;
    show(this.plane, plane.picture);
    this.plane.className = isOfBothSigns ? "pixels signed" : "pixels";
    this.drawn = { shape: [rows, columns], unit: { row, column } };
    this.map.ariaLabel = `${this.name.textContent}: ${layer.name}, channel ${plane.index}. Arrow keys move both crosshairs.`;
    this.map.hidden = !isPicture;
    this.map.style.setProperty("aspect-ratio", `${columns} / ${rows}`);
    this.onMap.setAttribute("viewBox", `0 0 ${columns} ${rows}`);
    this.crosshair.setAttribute("d", `M0 ${row + 0.5}H${columns}M${column + 0.5} 0V${rows}`);
    outline(this.onMap, { top: row, left: column, bottom: row + 1, right: column + 1 });
    this.onPhoto.setAttribute("viewBox", `0 0 ${photoShape[1]} ${photoShape[0]}`);
    outline(this.onPhoto, seen(layer.receptive_field, row, column), photoShape);
    const value = values[row * columns + column];
    this.caption.dataset.value = String(value);
    this.caption.classList.toggle("of-both-signs", isOfBothSigns);
    this.caption.replaceChildren(el("strong", {}, number(value)), ...(isPicture ? [legend(scale, layer.name)] : []));
    this.figure.hidden = false;
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const unit = neighbour(event, this.drawn.unit, this.drawn.shape);
    if (!unit) return;
    event.preventDefault();
    this.onAim(unit);
  }
}

/**
 * Show another picture; the same one is not loaded again.
 *
 * @param {HTMLImageElement} image
 * @param {string} src
 */
function show(image, src) {
  if (image.src !== src) image.src = src;
}
