/**
 * Act two, from near: one stage. Every channel of it, one of them enlarged beside the picture it was computed from, and a
 * unit of that channel under a crosshair, whose patch is outlined on the stage before and on the photo.
 */

import * as api from "./api.js";
import * as channels from "./channels.js";
import { $, el, speak } from "./dom.js";
import { count, number, size } from "./format.js";
import { box, framed, mask, seen } from "./outline.js";
import { decode, largest, standout, within } from "./pick.js";
import { Slide } from "./slide.js";
import * as sum from "./sum.js";
import { inside } from "./walk.js";
import { channel as channelName, kind, sentence } from "./words.js";

const REST = 180; // milliseconds the crosshair must rest before its sum is asked for

/**
 * The view of one photo's stages. `context` is {photo, detail, answer, signal}: the photo, GET /models/{network}, the answer
 * of /predict with thumbnails, and the signal that ends all its requests. `on` has callbacks: `place` hears where the visitor
 * is, `open` is asked for another stage, `trouble` gets errors, `unit` each answer of /explain/unit.
 */
export class StageView {
  constructor(context, on) {
    this.context = context;
    this.on = on;
    this.root = $("stage");
    this.before = new Map();
  }

  /** Open a stage at a place; what the place does not name is chosen: a channel that stands out, its largest value. */
  async open(place) {
    const { answer } = this.context;
    const layer = this.find(place.stage);
    const focus = this.root.contains(document.activeElement) ? (document.activeElement.dataset.focus ?? "") : null;
    this.root.style.setProperty("min-height", `${this.root.offsetHeight}px`); // so that the page does not jump meanwhile
    this.clear();
    this.layer = layer;
    this.flat = layer.shape.length !== 3;
    const strongest = standout(answer.feature_maps.find((map) => map.stage === place.stage)?.channels);
    const channel = Math.min(place.channel ?? strongest, layer.shape.at(-1) - 1);
    this.root.hidden = false;
    this.root.setAttribute("aria-busy", "true");
    this.root.replaceChildren(this.head());
    this.refocus(focus);
    try {
      const explained = await this.ask("explain/stage", { stage: layer.name, channel });
      this.grid = channels.grid(explained, channel, (index) => this.choose(index));
      this.near = el("div", { class: "near" });
      this.root.append(this.grid, this.near, this.curl("explain/stage", { stage: layer.name, channel }));
      const enlarged = this.enlarge(explained, place);
      this.refocus(focus);
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

  /** Give the focus back to what now stands where it was, `focus` naming it; null: it was elsewhere and stays there. */
  refocus(focus) {
    const lost = [document.body, this.root].includes(document.activeElement);
    if (focus === null || !lost) return;
    const heir = focus && this.root.querySelector(`[data-focus="${focus}"]`);
    (heir || this.root).focus({ preventScroll: true });
  }

  /** Stop everything that is under way and empty the view. */
  close() {
    this.clear();
    this.root.hidden = true;
    this.root.style.removeProperty("min-height");
  }

  clear() {
    this.opening?.abort();
    this.opening = new AbortController();
    this.slide?.pause();
    this.slide = null;
    clearTimeout(this.resting);
    this.beforeScale = null;
    this.forget();
    this.root.replaceChildren();
  }

  /** Give back the memory of the filter's picture. */
  forget() {
    if (this.filterPicture) URL.revokeObjectURL(this.filterPicture);
    this.filterPicture = null;
  }

  /** Ask about the photo; an answer that nobody waits for any more is not waited for. */
  ask(path, query, until = this.opening.signal) {
    const { photo, detail, signal } = this.context;
    return api.post(path, { network: detail.network, ...query }, photo, AbortSignal.any([signal, this.opening.signal, until]));
  }

  curl(path, query) {
    const { photo, detail } = this.context;
    const command = api.curl(path, { network: detail.network, ...query }, photo);
    return el("details", { class: "curl" }, el("summary", {}, "The curl that asks this"), el("pre", { tabindex: 0 }, el("code", {}, command)));
  }

  head() {
    const { detail } = this.context;
    const layer = this.layer;
    const parent = detail.stages.find(({ name }) => name === layer.name) ?? detail.stages.find(({ name }) => layer.name.startsWith(`${name}_`));
    const within = [...inside(detail, parent), parent];
    const chips = within.length > 1
      ? el(
          "p",
          { class: "chips" },
          `${parent.name} is made of: `,
          within.map((one) =>
            el("button", { type: "button", class: "chip", "data-focus": one === layer ? "chip" : "chip-other", "aria-pressed": String(one === layer), onclick: () => this.on.open(one.name) }, one === parent ? `${one.name} (${kind(one)})` : one.name.slice(parent.name.length + 1)),
          ),
        )
      : null;
    return el(
      "header",
      { class: "stage-head" },
      el("div", { class: "steps" },
        el("button", { type: "button", "aria-label": "The stage before", title: "[", "data-focus": "earlier", onclick: () => this.on.step(-1) }, "‹"),
        el("button", { type: "button", "aria-label": "The stage after", title: "]", "data-focus": "later", onclick: () => this.on.step(1) }, "›"),
      ),
      el("div", {},
        el("h3", { id: "stage-title" }, layer.name, el("span", { class: "quiet" }, ` ${kind(layer)}, ${size(layer.shape)}`, layer.parameters ? `, ${count(layer.parameters)} parameters` : "")),
        el("p", {}, sentence(layer, this.shapeOf(layer.inputs[0]).at(-1))),
        chips,
      ),
    );
  }

  find(name) {
    const { detail } = this.context;
    return [...detail.stages, ...detail.inner].find((one) => one.name === name);
  }

  shapeOf(name) {
    return name === "image" ? this.context.detail.input_shape : this.find(name).shape;
  }

  /** Another channel of the same stage: a step that "back" undoes. */
  async choose(channel) {
    const { layer, unit } = this;
    this.slide?.pause();
    clearTimeout(this.resting);
    this.opening.abort();
    this.opening = new AbortController();
    channels.choose(this.grid, channel);
    this.on.place({ stage: layer.name, channel, ...unit }, true);
    try {
      const explained = await this.ask("explain/stage", { stage: layer.name, channel, sheet: false });
      const enlarged = this.enlarge(explained, this.flat ? {} : unit);
      this.near.scrollIntoView({ block: "nearest" });
      await enlarged;
    } catch (error) {
      if (!api.superseded(error)) channels.choose(this.grid, this.channel);
      this.on.trouble(error);
    }
  }

  /** Draw the enlarged channel and what belongs to it, and work out one unit. */
  async enlarge(explained, place) {
    this.channel = explained.plane.index;
    this.values = decode(explained.plane.values);
    this.unit = this.flat ? { row: 0, column: 0 } : within(place, this.layer.shape) ?? largest(this.values, this.layer.shape);
    this.sum = el("div", { class: "sum", id: "sum" });
    this.near.replaceChildren(...(this.flat ? [this.sum] : [this.draw(explained), this.sum]));
    this.outline(this.unit);
    this.on.place({ stage: this.layer.name, channel: this.channel, ...this.unit }, false);
    await Promise.all([this.workOut(), this.showFilter()]);
  }

  draw(explained) {
    const { photo, detail } = this.context;
    const [height, width] = this.layer.shape;
    const [inputHeight, inputWidth] = detail.input_shape;
    this.onPhoto = mask(inputHeight, inputWidth);
    this.onBefore = mask(...this.shapeOf(this.layer.inputs[0]));
    this.onThis = mask(height, width);
    this.veil = el("path", { class: "veil" });
    this.crosshair = el("path", { class: "crosshair" });
    this.onThis.prepend(this.veil, this.crosshair);
    this.readout = el("p", { class: "readout", id: "readout" });
    this.beforeImage = el("img", { alt: "", class: "pixels" });
    this.beforeCaption = el("span", {}, this.layer.inputs[0]);
    this.surface = el(
      "div",
      {
        class: "surface",
        role: "application",
        tabindex: 0,
        "aria-label": `${this.layer.name}, channel ${this.channel}, enlarged. Arrow keys move the crosshair, Enter works out the sum, Space slides the filter.`,
        "aria-describedby": "readout",
        "data-focus": "surface",
        onpointermove: (event) => event.pointerType !== "touch" && this.outline(this.under(event)),
        onpointerleave: () => this.outline(this.unit),
        onclick: (event) => this.pin(this.under(event), 0, event.pointerType === "touch"),
        onkeydown: (event) => this.key(event),
      },
      el("img", { src: explained.plane.picture, alt: "", class: "pixels" }),
      this.onThis,
    );
    const wide = { style: { "aspect-ratio": `${width} / ${height}` } };
    const [before] = this.layer.inputs;
    this.slide = new Slide(this.layer.shape, {
      at: () => this.unit,
      move: (unit) => this.slideTo(unit),
      rest: () => this.pin(this.unit, 0),
    });
    this.filter = el("figure", { class: "filter", hidden: true });
    const figures = [
      el(
        "div",
        { class: "aside" },
        el("figure", { class: "on-photo" }, el("div", { class: "held", style: framed(photo) }, el("img", { src: photo.url, alt: "" }), this.onPhoto), el("figcaption", {}, "on your photo")),
        this.filter,
      ),
      before === "image" && !this.layer.kernel ? null : el("figure", { class: "on-before" }, el("div", { class: "held", ...wide }, this.beforeImage, this.onBefore), el("figcaption", {}, this.beforeCaption)),
      el("figure", { class: "on-this" }, el("div", { class: "held", ...wide }, this.surface), el("figcaption", {}, `${this.layer.name}, channel ${this.channel}`)),
    ];
    return el(
      "div",
      { class: "enlarged" },
      el("div", { class: "figures" }, figures.filter(Boolean)),
      el("div", { class: "playing" }, this.slide.controls, this.readout),
    );
  }

  under(event) {
    const { left, top, width, height } = this.surface.getBoundingClientRect();
    const [rows, columns] = this.layer.shape;
    const at = (place, most) => Math.max(0, Math.min(most - 1, Math.floor(place * most)));
    return { row: at((event.clientY - top) / height, rows), column: at((event.clientX - left) / width, columns) };
  }

  /** Outline what a unit sees, on all three pictures, and say its value. */
  outline({ row, column }) {
    if (this.flat) return;
    const [rows, columns] = this.layer.shape;
    this.crosshair.setAttribute("d", `M0 ${row + 0.5}H${columns}M${column + 0.5} 0V${rows}`);
    box(this.onThis, { top: row, left: column, bottom: row + 1, right: column + 1 });
    box(this.onBefore, seen(this.layer.window, row, column));
    box(this.onPhoto, seen(this.layer.receptive_field, row, column), this.context.detail.input_shape);
    this.readout.replaceChildren(`row ${row}, column ${column}: `, el("strong", {}, number(this.values[row * columns + column])));
  }

  /**
   * Make a unit the chosen one; its sum is worked out once it has been so for `rest` milliseconds, and on a touch screen
   * brought into view.
   */
  pin(unit, rest = REST, touched = false) {
    this.slide?.pause();
    this.unit = unit;
    this.veil?.setAttribute("d", "");
    this.outline(unit);
    this.on.place({ stage: this.layer.name, channel: this.channel, ...unit }, false);
    clearTimeout(this.resting);
    this.resting = setTimeout(async () => {
      try {
        await this.workOut();
        if (touched) this.sum.scrollIntoView({ block: "nearest" });
      } catch (error) {
        this.on.trouble(error);
      }
    }, rest);
  }

  /** Bring the filter to a unit, and veil what it has not come to. */
  slideTo(unit) {
    const [height, width] = this.layer.shape;
    this.unit = unit;
    this.outline(unit);
    const { row, column } = unit;
    const rest = `M${column + 1} ${row}H${width}V${row + 1}H${column + 1}Z M0 ${row + 1}H${width}V${height}H0Z`;
    this.veil.setAttribute("d", rest);
  }

  key(event) {
    const [height, width] = this.layer.shape;
    const far = event.shiftKey ? 10 : 1;
    const [down, right] = { ArrowUp: [-far, 0], ArrowDown: [far, 0], ArrowLeft: [0, -far], ArrowRight: [0, far] }[event.key] ?? [0, 0];
    if (down || right) {
      event.preventDefault();
      const clamp = (value, most) => Math.max(0, Math.min(most - 1, value));
      this.pin({ row: clamp(this.unit.row + down, height), column: clamp(this.unit.column + right, width) });
    } else if (event.key === "Enter") {
      this.pin(this.unit, 0);
    } else if (event.key === " ") {
      event.preventDefault();
      this.slide.toggle();
    }
  }

  /** Ask for the arithmetic of the chosen unit and show it. */
  async workOut() {
    const { unit, channel, layer } = this;
    const query = { stage: layer.name, channel, row: unit.row, column: unit.column };
    const working = this.work();
    const explained = await this.ask("explain/unit", query, working.signal);
    this.on.unit(explained);
    await this.showSum(explained, sum.strongestInput(explained), query, working);
    const where = this.flat ? `number ${channel}` : `row ${unit.row}, column ${unit.column}`;
    speak(`${where}: worked out ${number(explained.value)}, the network says ${number(explained.computed)}.`);
  }

  /** Begin something that ends whatever was being worked out before. */
  work() {
    this.working?.abort();
    this.working = new AbortController();
    return this.working;
  }

  async showSum(explained, source, query, working) {
    const before = explained.inputs[explained.chosen ?? 0]; // of several stages that were stacked, the one it comes from
    if (!this.flat) await this.showBefore(source, working.signal, before);
    working.signal.throwIfAborted(); // another unit, or another input channel, was chosen meanwhile
    const choosing = this.sum.contains(document.activeElement) && document.activeElement.matches("[data-source]");
    sum.show(this.sum, explained, {
      source,
      scale: this.flat ? null : this.beforeScale,
      padded: this.shapeOf(before),
      origin: this.find(this.layer.inputs[0])?.inputs[0],
      classes: this.context.detail.classes,
      onSource: (other) => this.showSum(explained, other, query, this.work()).catch(this.on.trouble),
    });
    this.sum.append(this.curl("explain/unit", query));
    if (choosing) this.sum.querySelector("[data-source]")?.focus({ preventScroll: true });
  }

  /** Show one channel of the stage before; of the photo, all three colours at once. */
  async showBefore(source, signal, name = this.layer.inputs[0]) {
    const key = name === "image" ? name : `${name} ${source}`;
    if (!this.before.has(key)) {
      this.before.set(key, await this.ask("explain/stage", { stage: name, channel: source, sheet: false, values: false }, signal));
    }
    signal.throwIfAborted();
    const explained = this.before.get(key);
    this.beforeScale = explained.scale;
    this.beforeImage.src = explained.picture ?? explained.plane.picture;
    this.beforeCaption.textContent = name === "image" ? `the photo as the network gets it, ${size(explained.shape)}` : `${name}, ${channelName(name, source)}`;
  }

  /** Draw the whole filter of the chosen channel, if the stage has filters. */
  async showFilter() {
    if (!this.layer.kind.includes("convolution")) return;
    const { detail, signal } = this.context;
    const path = `models/${detail.network}/kernels/${this.layer.name}`;
    const url = await api.picture(path, { channel: this.channel }, AbortSignal.any([signal, this.opening.signal]));
    this.forget();
    this.filterPicture = url;
    const [high, wide] = this.layer.kernel;
    const inputs = this.layer.kind === "convolution" ? this.shapeOf(this.layer.inputs[0]).at(-1) : 1;
    const weights = `${high} × ${wide} weights`;
    this.filter.hidden = false;
    this.filter.replaceChildren(
      el("img", { src: url, alt: `The weights of filter ${this.channel}` }),
      el("figcaption", {}, `filter ${this.channel}: ${inputs > 1 ? `${count(inputs)} × ${weights}, a square for each input channel` : weights}`),
    );
  }
}
