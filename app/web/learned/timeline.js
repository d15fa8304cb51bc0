/**
 * The timeline of a network's training: the epochs that were kept and the visitor's photo come in; at each stop there are the
 * first filters of that epoch, what they made of the photo, the answer, and what changed since the stop before, in numbers.
 */
// @ts-check

import { ghost } from "../acts/answer.js";
import * as address from "../address.js";
import * as api from "../api.js";
import { el, speak } from "../basics/dom.js";
import { number, percent } from "../basics/format.js";
import { styled } from "../basics/sheet.js";
import { mainClass, shortVerdict } from "../basics/words.js";
import { showTrouble } from "../message.js";
import { firstFilter } from "../stage/pick.js";
import { caption } from "./caption.js";
import { Chart } from "./chart.js";
import { maps } from "./maps.js";
import { Play } from "./play.js";
import { Step } from "./step.js";
import { Stops } from "./stops.js";

/** @import { Epochs, Position } from "../types.js" */
/** @import { Subject } from "./door.js" */
/** @import { Stop } from "./stops.js" */

/**
 * The timeline of a network on a photo, once its style and its epochs are there.
 *
 * @param {Subject} subject
 * @param {{ position: Position }} visit
 * @param {() => void} close
 */
export async function timelineOf(subject, visit, close) {
  const { detail, signal } = subject;
  const [learned] = await Promise.all([api.epochs(detail.network, signal), styled(import.meta.url, "learned.css")]);
  return new Timeline(subject, learned, visit, close);
}

export class Timeline {
  /**
   * @param {Subject} subject
   * @param {Epochs} learned
   * @param {{ position: Position }} visit
   * @param {() => void} close
   */
  constructor(subject, learned, visit, close) {
    this.subject = subject;
    this.learned = learned;
    this.visit = visit;
    this.stops = new Stops(subject);
    this.asking = new AbortController();
    this.isOpen = false;
    this.last = learned.epochs.length - 1;
    this.main = mainClass(subject.own);
    this.slider = el("input", { type: "range", min: 0, max: this.last, value: 0, "aria-label": "epoch" });
    this.slider.addEventListener("input", () => this.choose(this.slider.valueAsNumber));
    this.play = new Play(
      {
        at: () => this.epoch,
        last: this.last,
        go: (epoch) => this.show(epoch),
        rest: () => speak(this.caption.textContent ?? ""),
      },
      this.slider,
    );
    this.caption = el("p", { class: "caption" });
    this.says = el("p", { class: "probability" });
    this.now = el("span");
    this.legend = el("p", { class: "quiet" });
    this.filters = el("img", { class: "signed", hidden: true });
    this.ofFilters = el("figcaption");
    this.maps = el("div", { class: "maps" });
    this.ofMaps = el("figcaption");
    this.command = el("code");
    this.charts = this.chartsOf();
    this.step = new Step(subject, visit);
    this.root = this.drawn(close);
  }

  /** The epoch that is shown. */
  get epoch() {
    return this.slider.valueAsNumber;
  }

  /** The stage whose maps are shown: the one that is chosen in the walk, or the first filters. */
  get stage() {
    const { detail } = this.subject;
    const chosen = detail.stages.find(({ name }) => name === this.visit.position.stage);
    return chosen?.name ?? firstFilter(detail);
  }

  chartsOf() {
    const { epochs } = this.learned;
    const losses = epochs.map(({ loss }) => loss);
    const right = epochs.map(({ accuracy }) => accuracy);
    const lowest = Math.min(0.5, Math.floor(10 * Math.min(...right)) / 10);
    const highest = Math.ceil(10 * Math.max(...losses)) / 10;
    return [
      new Chart(0, losses, { caption: "loss on validation photos", bottom: 0, top: highest, format: number }),
      new Chart(0, right, { caption: "validation photos answered right", bottom: lowest, top: 1, format: whole }),
    ];
  }

  /** @param {() => void} close */
  drawn(close) {
    const { own, detail } = this.subject;
    const hasFilters = detail.stages.some(({ kind }) => kind === "convolution");
    const meter = el("div", { class: "gauge", "aria-hidden": "true" }, this.now, ghost(own.probabilities[this.main]));
    const filters = hasFilters && el("figure", { class: "filter" }, this.ofFilters, this.filters);
    const answered = el("div", { class: "answered" }, this.caption, this.says, meter, this.legend);
    const curves = el("div", { class: "figures" }, ...this.charts.map((chart) => chart.root));
    const line = el("span", { class: "line" }, el("span", {}, "random"), this.slider, el("span", {}, `epoch ${this.last}`));
    return el(
      "div",
      { class: "stage timeline" },
      el(
        "div",
        { class: "stop" },
        el("div", { class: "playing" }, this.play.controls, line),
        el("div", { class: "figures" }, answered, filters),
        curves,
        el("figure", {}, this.ofMaps, this.maps),
        el("button", { type: "button", onclick: close }, "Back to the trained network"),
        el(
          "details",
          { class: "curl" },
          el("summary", {}, "The same request with curl"),
          el("pre", { tabindex: 0 }, this.command),
        ),
      ),
      this.step.root,
    );
  }

  /** The visitor chooses an epoch. @param {number} epoch */
  choose(epoch) {
    this.play.pause();
    this.show(epoch).then(
      () => speak(this.caption.textContent ?? ""),
      (error) => showTrouble(error),
    );
  }

  /** Show the epoch that the position names. */
  async follow() {
    this.isOpen = true;
    const epoch = Math.min(this.visit.position.epoch ?? 0, this.last);
    if (epoch !== this.epoch) this.play.pause();
    await this.show(epoch);
  }

  /** The visitor is elsewhere in the walk: its stage may be another one. */
  moved() {
    this.step.follow(this.epoch);
    if (this.maps.dataset.stage !== this.stage) this.show(this.epoch).catch(showTrouble);
  }

  /** Stop playing and asking, and free the pictures. */
  stop() {
    this.isOpen = false;
    this.play.pause();
    this.asking.abort();
    this.step.stop();
    this.stops.clear();
  }

  /**
   * Show an epoch: what is known of it at once, what it made of the photo as soon as the service says so. Rejects with an
   * AbortError when another is wanted meanwhile.
   *
   * @param {number} epoch
   */
  async show(epoch) {
    this.asking.abort();
    this.asking = new AbortController();
    const { stage, visit } = this;
    const signal = AbortSignal.any([this.subject.signal, this.asking.signal]);
    this.slider.value = String(epoch);
    this.slider.setAttribute("aria-valuetext", epoch ? `epoch ${epoch} of ${this.last}` : "random, before training");
    this.maps.dataset.stage = stage;
    if (visit.position.epoch !== epoch) {
      visit.position.epoch = epoch;
      address.write(visit.position, { newEntry: false });
    }
    for (const chart of this.charts) chart.mark(epoch);
    this.step.follow(epoch);
    const wanted = epoch ? [epoch, epoch - 1] : [epoch];
    this.root.setAttribute("aria-busy", "true");
    try {
      const [stop, before] = await Promise.all(wanted.map((one) => this.stops.at(one, stage, signal)));
      this.fill(epoch, stage, stop, before);
    } finally {
      if (!this.asking.signal.aborted) this.root.removeAttribute("aria-busy");
    }
  }

  /**
   * @param {number} epoch
   * @param {string} stage
   * @param {Stop} stop
   * @param {Stop} [before]
   */
  fill(epoch, stage, { prediction, filters }, before) {
    const { learned, main } = this;
    const { own, edits, detail, photo } = this.subject;
    const probability = prediction.probabilities[main];
    const when = epoch ? `after epoch ${epoch}` : "before training";
    const what = shortVerdict(main);
    this.caption.textContent = caption(learned, epoch, {
      what,
      now: probability,
      before: before?.prediction.probabilities[main],
    });
    this.root.dataset.epoch = String(epoch);
    this.says.dataset.value = String(probability);
    this.says.replaceChildren(el("strong", {}, percent(probability)), ` ${what}, your photo ${when}`);
    this.now.style.setProperty("width", `${probability * 100}%`);
    const changed = edits.count ? " Your changes of the network are left out here." : "";
    this.legend.textContent = `The double line: ${percent(own.probabilities[main])} ${what}, as the trained network answers.${changed}`;
    const first = firstFilter(detail);
    if (filters) {
      this.filters.src = filters;
      this.filters.alt = `The weights of all filters of ${first}, ${when}`;
      this.filters.hidden = false;
    }
    this.ofFilters.textContent = `The first filters, ${first}, ${when}: a column for each, a row for each of its inputs`;
    const [map] = prediction.feature_maps;
    const colours = map.min < 0 ? ", blue below zero, brown above" : "";
    this.ofMaps.textContent = `Your photo in ${stage}, ${when}: its strongest channels${colours}`;
    this.maps.replaceChildren(...maps(map));
    this.command.textContent = api.curl("predict", this.stops.query(epoch, stage), photo);
  }
}

/** A share of photos as a whole percentage. @param {number} part */
const whole = (part) => `${Math.round(100 * part)} %`;
