/** Review: what was corrected or unsure, one photo at a time. Keys choose the right class, move, delete and undo. */
// @ts-check

import { Refusal, superseded } from "../api.js";
import { el, speak } from "../basics/dom.js";
import { percent, plural } from "../basics/format.js";
import { networkName, shortVerdict } from "../basics/words.js";
import { showMessage, showTrouble } from "../message.js";
import { size } from "../teach/size.js";
import { twice } from "../teach/twice.js";
import { deleteAll, download, photoOf, Shelf } from "./shelf.js";

/** @import { Correction } from "./types.js" */

const KEYS = "123456789abcdefghijklmnopqrst"; // of classes, in order; u undoes

/** @typedef {{ at: number, before: Correction, after: Correction | null }} Step `after` is null for a deletion */

export class Review {
  /** @param {string[]} networks that can be chosen */
  constructor(networks) {
    this.at = 0;
    /** @type {Step[]} what can be undone, the newest last */
    this.steps = [];
    /** @type {Correction | null} is deleted when the next thing is done, so that it can be undone */
    this.leaving = null;
    this.looking = new AbortController();
    this.url = "";
    this.kind = select("Show", { "": "all", unsure: "unsure", corrected: "corrected" });
    const names = Object.fromEntries(networks.map((name) => [name, networkName(name)]));
    this.network = select("Network", { "": "all", ...names });
    this.day = el("input", { type: "date" });
    for (const field of [this.kind, this.network, this.day]) field.addEventListener("change", () => this.open());
    this.shelf = new Shelf({ kind: "", network: "", day: "" });
    this.card = el("div", { class: "card-of-photo", tabindex: 0, role: "group", "aria-label": "Photo to review" });
    this.card.addEventListener("keydown", (event) => this.key(event));
    this.said = el("p", { class: "quiet" });
    const all = twice("Delete all", "Delete every photo and correction?", () => this.act(() => this.deleteAll()));
    const save = el("button", { type: "button", onclick: () => this.act(download) }, "Export as a zip file");
    const filters = el(
      "div",
      { class: "filters" },
      el("label", {}, "Show ", this.kind),
      el("label", {}, "Network ", this.network),
      el("label", {}, "Day ", this.day),
    );
    this.root = el("div", { class: "reviewing" }, filters, this.card, el("div", { class: "buttons" }, save, all), this.said);
    addEventListener("pagehide", () => this.settle(true));
  }

  /** Begin with the newest that the filters let through. */
  async open() {
    await this.settle();
    this.steps = [];
    this.at = 0;
    const { kind, network, day } = this;
    this.shelf = new Shelf({ kind: kind.value, network: network.value, day: day.value });
    await this.act(() => this.shelf.more());
    this.show();
  }

  /**
   * Do something that may be refused; returns whether it was done.
   *
   * @param {() => Promise<unknown>} what
   */
  async act(what) {
    this.card.setAttribute("aria-busy", "true");
    try {
      await what();
      return true;
    } catch (error) {
      if (error instanceof Refusal && error.status === 404) showMessage(error.message, "notice");
      else showTrouble(error, () => this.open());
      return false;
    } finally {
      this.card.removeAttribute("aria-busy");
    }
  }

  /** Show where the review is. */
  show() {
    this.looking.abort();
    this.looking = new AbortController();
    URL.revokeObjectURL(this.url);
    const { kept, all, next } = this.shelf;
    if (kept) {
      const days = kept.days ? `, each deleted after ${plural(kept.days, "day")}` : "";
      this.said.textContent = `Kept here: ${plural(kept.photos, "photo")}, ${size(kept.bytes)}${days}: ${kept.where}.`;
    }
    const one = all[this.at];
    const undo = el(
      "button",
      { type: "button", disabled: !this.steps.length, onclick: () => this.undo() },
      "Undo ",
      key("U"),
    );
    if (!one) {
      const nothing = all.length || this.steps.length ? "That was the last one." : "Nothing to review.";
      const back = el("button", { type: "button", disabled: !this.at, onclick: () => this.move(-1) }, "← Back");
      this.card.replaceChildren(el("p", { class: "nothing" }, nothing), el("div", { class: "buttons" }, back, undo));
      speak(nothing);
      return;
    }
    const where = `${this.at + 1} of ${all.length}${next ? " and more" : ""}`;
    const image = el("img", { alt: "", class: "reviewed" });
    photoOf(one, this.looking.signal).then(
      (url) => {
        this.url = url;
        image.src = url;
      },
      (error) => superseded(error) || showTrouble(error),
    );
    image.addEventListener("error", () =>
      image.replaceWith(el("p", { class: "unshown" }, "Browsers do not show this format.")),
    );
    const sorted = Object.entries(one.probabilities).sort(([, a], [, b]) => b - a);
    const [[likeliest, probability]] = sorted;
    const said = `${shortVerdict(one.verdict)}${one.verdict === likeliest ? "" : `, most likely ${shortVerdict(likeliest)}`}`;
    const choices = Object.keys(one.probabilities).map((name, i) =>
      el(
        "button",
        { type: "button", "aria-pressed": String(name === one.label), class: "chip", onclick: () => this.choose(name) },
        KEYS[i] ? key(KEYS[i].toUpperCase()) : null,
        ` ${shortVerdict(name)}`,
      ),
    );
    this.card.replaceChildren(
      el("div", { class: "pane" }, image),
      el(
        "div",
        { class: "facts-of-photo" },
        el("p", { class: "quiet" }, `${where} · ${when(one.time)} · ${one.network} ${one.version}`),
        el("p", {}, "It said ", el("strong", {}, said), ` (${percent(probability)}).`),
        el("p", { id: "review-question" }, one.label === null ? "What does it show?" : "It shows:"),
        el("div", { class: "chips", role: "group", "aria-labelledby": "review-question" }, ...choices),
        el(
          "div",
          { class: "buttons" },
          el("button", { type: "button", disabled: !this.at, onclick: () => this.move(-1) }, "← Back"),
          el("button", { type: "button", onclick: () => this.move(1) }, "Next →"),
          el("button", { type: "button", onclick: () => this.delete() }, "Delete ", key("Del")),
          undo,
        ),
      ),
    );
    const right = one.label === null ? "" : ` It shows: ${shortVerdict(one.label)}.`;
    speak(`${where}. ${one.network} said ${said}.${right}`);
  }

  /** Show again, and keep the keyboard where the keys are heard. */
  again() {
    this.show();
    this.card.focus();
  }

  /** @param {number} by */
  async move(by) {
    const to = Math.max(0, this.at + by);
    if (to >= this.shelf.all.length) await this.act(() => this.shelf.more());
    this.at = Math.min(to, this.shelf.all.length);
    this.again();
  }

  /** Say what the photo shows, and go on. @param {string} label */
  async choose(label) {
    const before = this.shelf.all[this.at];
    if (!before || before.label === label) return this.move(1);
    await this.settle();
    await this.act(async () => {
      const after = await this.shelf.correct(before, label);
      this.shelf.all[this.at] = after;
      this.steps.push({ at: this.at, before, after });
      await this.move(1);
    });
  }

  /** Delete the photo: when the next thing is done, so that this can be undone. */
  async delete() {
    const [before] = this.shelf.all.slice(this.at, this.at + 1);
    if (!before) return;
    await this.settle();
    this.shelf.all.splice(this.at, 1);
    this.leaving = before;
    this.steps.push({ at: this.at, before, after: null });
    if (this.at >= this.shelf.all.length) await this.act(() => this.shelf.more());
    this.again();
  }

  async undo() {
    const step = this.steps.pop();
    if (!step) return;
    const { at, before, after } = step;
    await this.act(async () => {
      if (after) {
        await this.shelf.takeBack(after);
        this.shelf.all[at] = before;
      } else {
        this.leaving = null;
        this.shelf.all.splice(at, 0, before);
      }
      this.at = at;
    });
    this.again();
  }

  /** Do what was put off: nothing before it can be undone then. @param {boolean} [isLast] the page is left */
  async settle(isLast = false) {
    const { leaving } = this;
    if (!leaving) return;
    this.leaving = null;
    this.steps = [];
    await this.act(() => this.shelf.delete(leaving, isLast));
  }

  async deleteAll() {
    this.leaving = null;
    await deleteAll();
    await this.open();
    this.card.focus();
    speak("Everything is deleted.");
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const one = this.shelf.all[this.at];
    const name = one && Object.keys(one.probabilities)[KEYS.indexOf(event.key.toLowerCase())];
    if (event.key === "ArrowRight") this.move(1);
    else if (event.key === "ArrowLeft") this.move(-1);
    else if (event.key === "Delete") this.delete();
    else if (event.key.toLowerCase() === "u") this.undo();
    else if (event.key.length === 1 && name) this.choose(name);
    else return;
    event.preventDefault();
  }
}

/**
 * @param {string} label
 * @param {Record<string, string>} options
 */
const select = (label, options) =>
  el("select", { "aria-label": label }, ...Object.entries(options).map(([value, text]) => el("option", { value }, text)));

/** @param {string} name */
const key = (name) => el("kbd", {}, name);

/** @param {string} time as the service writes it, in UTC */
const when = (time) => new Date(time).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
