/**
 * One channel enlarged, between the picture that it was computed from and its filter: a crosshair marks a unit, whose patch is
 * outlined on the input picture and on the photo.
 */
// @ts-check

import { el, svg } from "../basics/dom.js";
import { count, number, size } from "../basics/format.js";
import { channel as channelName } from "../basics/words.js";
import { framed, outline, overlay, seen } from "./outline.js";
import { Slide } from "./slide.js";

/** @import { PlaneAnswer, Photo, ScaleAnswer, StageAnswer, StageExplanation, UnitPosition } from "../types.js" */

/**
 * @typedef {object} EnlargedContext
 * @property {Photo} photo
 * @property {StageAnswer} layer
 * @property {ScaleAnswer} scale the stage's colours
 * @property {number[]} photoShape shape of the network's input
 * @property {number[]} inputShape shape of the stage that the layer reads
 */

/**
 * @typedef {object} EnlargedListeners
 * @property {() => UnitPosition} at the chosen unit
 * @property {(unit: UnitPosition) => Promise<void>} move the sliding filter comes to a unit
 * @property {(unit: UnitPosition) => void} look a unit is looked at
 * @property {(unit: UnitPosition, options?: { delay?: number, touched?: boolean }) => void} choose a unit is chosen
 * @property {(error: unknown) => void} trouble
 */

export class Enlarged {
  /**
   * @param {PlaneAnswer} plane
   * @param {Float32Array} values
   * @param {EnlargedContext} context
   * @param {EnlargedListeners} on
   */
  constructor(plane, values, context, on) {
    const { layer } = context;
    const [input] = layer.inputs;
    const aspect = { style: { "aspect-ratio": `${layer.shape[1]} / ${layer.shape[0]}` } };
    this.values = values;
    this.context = context;
    this.on = on;
    this.onPhoto = overlay(context.photoShape);
    this.onInput = overlay(context.inputShape);
    this.onThis = overlay(layer.shape);
    this.veil = svg("path", { class: "veil" });
    this.crosshair = svg("path", { class: "crosshair" });
    this.onThis.prepend(this.veil, this.crosshair);
    this.readout = el("p", { class: "readout", id: "readout" });
    /** @type {UnitPosition | null} */
    this.looked = null;
    this.inputImage = el("img", { alt: "", class: "pixels" });
    this.inputCaption = el("span", {}, input);
    this.filter = el("figure", { class: "filter", hidden: true });
    this.surface = this.makeSurface(plane);
    const { at, move, trouble } = on;
    this.slide = new Slide(layer.shape, slid(layer), { at, move, trouble, rest: () => on.choose(at(), { delay: 0 }) });
    const { photo } = context;
    const onPhoto = el("div", { class: "held", style: framed(photo) }, el("img", { src: photo.url, alt: "" }), this.onPhoto);
    const hasInput = input !== "image" || layer.kernel;
    this.root = el(
      "div",
      { class: hasInput ? "enlarged" : "enlarged without-input" },
      el(
        "div",
        { class: "pinned" },
        el("div", { class: "playing" }, this.slide.controls, this.readout),
        figure("on-photo", onPhoto, "on your photo"),
        hasInput &&
          figure("on-before", el("div", { class: "held", ...aspect }, this.inputImage, this.onInput), this.inputCaption),
      ),
      figure(
        "on-this",
        el("div", { class: "held", ...aspect }, this.surface),
        `${layer.name}, ${channelName(layer.name, plane.index)}`,
      ),
      this.filter,
    );
  }

  /** @param {PlaneAnswer} plane */
  makeSurface(plane) {
    const keys = "Arrow keys move the crosshair, Enter works out the number, Space slides on.";
    return el(
      "div",
      {
        class: "surface",
        role: "application",
        tabindex: 0,
        "aria-label": `${this.context.layer.name}, channel ${plane.index}, enlarged. ${keys}`,
        "aria-describedby": "readout",
        "data-focus": "surface",
        onpointermove: (event) => event.pointerType !== "touch" && !this.slide.playing && this.look(this.under(event)),
        onpointerleave: (event) => event.pointerType !== "touch" && !this.slide.playing && this.look(this.on.at()),
        onclick: (event) => this.on.choose(this.under(event), { delay: 0, touched: event.pointerType === "touch" }),
        onkeydown: (event) => this.key(event),
      },
      el("img", { src: plane.picture, alt: "", class: signed("pixels", this.context.scale) }),
      this.onThis,
    );
  }

  /**
   * @param {PointerEvent} event
   * @returns {UnitPosition}
   */
  under(event) {
    return under(event, this.surface, this.context.layer.shape);
  }

  /**
   * The pointer is on a unit: outline what it sees now, show its sum once the pointer rests.
   *
   * @param {UnitPosition} unit
   */
  look(unit) {
    if (unit.row === this.looked?.row && unit.column === this.looked.column) return;
    this.show(unit);
    this.on.look(unit);
  }

  /**
   * Outline what a unit sees on all three pictures, and show its value.
   *
   * @param {UnitPosition} unit
   */
  show({ row, column }) {
    this.looked = { row, column };
    const { layer, photoShape } = this.context;
    const [rows, columns] = layer.shape;
    this.crosshair.setAttribute("d", `M0 ${row + 0.5}H${columns}M${column + 0.5} 0V${rows}`);
    outline(this.onThis, { top: row, left: column, bottom: row + 1, right: column + 1 });
    outline(this.onInput, seen(layer.window, row, column));
    outline(this.onPhoto, seen(layer.receptive_field, row, column), photoShape);
    const value = el("strong", {}, number(this.values[row * columns + column]));
    this.readout.replaceChildren(`row ${row}, column ${column}: `, value);
  }

  /**
   * Veil everything that the sliding filter has not reached yet.
   *
   * @param {UnitPosition} unit
   */
  veilAfter({ row, column }) {
    const [height, width] = this.context.layer.shape;
    this.veil.setAttribute(
      "d",
      `M${column + 1} ${row}H${width}V${row + 1}H${column + 1}Z M0 ${row + 1}H${width}V${height}H0Z`,
    );
  }

  unveil() {
    this.veil.setAttribute("d", "");
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const next = neighbour(event, this.on.at(), this.context.layer.shape);
    if (next) {
      event.preventDefault();
      this.on.choose(next);
    } else if (event.key === "Enter") {
      this.on.choose(this.on.at(), { delay: 0 });
    } else if (event.key === " ") {
      event.preventDefault();
      this.slide.toggle();
    }
  }

  /**
   * Show one channel of the input stage; of the photo, all three colours at once.
   *
   * @param {StageExplanation} explained
   * @param {number} channel
   */
  showInput({ stage, shape, picture, plane, scale }, channel) {
    this.inputImage.className = signed("pixels", scale);
    this.inputImage.src = picture ?? plane?.picture ?? "";
    this.inputCaption.textContent =
      stage === "image" ? `the photo as the network gets it, ${size(shape)}` : `${stage}, ${channelName(stage, channel)}`;
  }

  /**
   * Show the whole filter of the channel.
   *
   * @param {string} url of its picture
   * @param {number} channel
   */
  showFilter(url, channel) {
    const { layer, inputShape } = this.context;
    const [high, wide] = layer.kernel ?? [1, 1];
    const inputs = layer.kind === "convolution" ? inputShape[inputShape.length - 1] : 1;
    const weights = `${high} × ${wide} weights`;
    const text = inputs > 1 ? `${count(inputs)} × ${weights}, one square for each input channel` : weights;
    this.filter.hidden = false;
    this.filter.replaceChildren(
      el("img", { src: url, alt: `The weights of filter ${channel}`, class: "signed" }),
      el("figcaption", {}, `filter ${channel}: ${text}`),
    );
  }
}

/**
 * The unit under the pointer.
 *
 * @param {{ clientX: number, clientY: number }} pointer
 * @param {HTMLElement} surface
 * @param {number[]} shape of the stage on it
 * @returns {UnitPosition}
 */
export function under({ clientX, clientY }, surface, [rows, columns]) {
  const { left, top, width, height } = surface.getBoundingClientRect();
  return {
    row: clamp(Math.floor(((clientY - top) / height) * rows), rows),
    column: clamp(Math.floor(((clientX - left) / width) * columns), columns),
  };
}

/**
 * The unit that an arrow key leads to, with Shift one that is further away; null for other keys.
 *
 * @param {KeyboardEvent} event
 * @param {UnitPosition} from
 * @param {number[]} shape
 * @returns {UnitPosition | null}
 */
export function neighbour({ key, shiftKey }, { row, column }, [rows, columns]) {
  const far = shiftKey ? 10 : 1;
  /** @type {Record<string, [number, number]>} */
  const arrows = { ArrowUp: [-far, 0], ArrowDown: [far, 0], ArrowLeft: [0, -far], ArrowRight: [0, far] };
  const arrow = arrows[key];
  return arrow ? { row: clamp(row + arrow[0], rows), column: clamp(column + arrow[1], columns) } : null;
}

/**
 * What slides over the picture.
 *
 * @param {StageAnswer} layer
 */
const slid = ({ kind, kernel }) => (kind.includes("convolution") ? "filter" : kernel ? "window" : "crosshair");

/**
 * The weights of a fully connected unit, as pictures of what was flattened before it.
 *
 * @param {string} url of the picture
 * @param {number} unit
 * @param {number[] | null} picture the shape of what was flattened
 */
export function weights(url, unit, picture) {
  const [height, width, channels] = picture ?? [1, 1, 1];
  const squares = channels === 3 ? "for red, green and blue" : `for each of ${count(channels)} channels`;
  const text = picture ? `one for every number of the picture: ${height} × ${width} ${squares}` : "one for each input";
  return el(
    "figure",
    { class: "filter weights" },
    el("img", { src: url, alt: `The weights of unit ${unit}`, class: "signed" }),
    el("figcaption", {}, `the weights of unit ${unit}, ${text}`),
  );
}

/**
 * The class of a picture: one of both signs is white at zero, which is turned dark where the page is dark.
 *
 * @param {string} name
 * @param {ScaleAnswer} scale
 */
const signed = (name, { bottom }) => (bottom < 0 ? `${name} signed` : name);

/**
 * @param {number} index
 * @param {number} length
 */
const clamp = (index, length) => Math.max(0, Math.min(length - 1, index));

/**
 * @param {string} name
 * @param {HTMLElement} picture
 * @param {string | HTMLElement} caption
 */
const figure = (name, picture, caption) => el("figure", { class: name }, picture, el("figcaption", {}, caption));
