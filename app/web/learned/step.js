/** One step of gradient descent on the visitor's photo, as POST /explain/step takes it: a filter before, its gradient, after. */
// @ts-check

import * as api from "../api.js";
import { el, speak } from "../basics/dom.js";
import { number, percent } from "../basics/format.js";
import { symmetric } from "../basics/palette.js";
import { channel as channelName, label as named, shortVerdict } from "../basics/words.js";
import { showTrouble } from "../message.js";
import { cells } from "../stage/cells.js";
import { firstFilter } from "../stage/pick.js";

/** @import { Position, StepAnswer } from "../types.js" */
/** @import { Subject } from "./door.js" */

const DIGITS = 7; // of the one weight that is worked out: a step changes the last of them

export class Step {
  /**
   * @param {Subject} subject
   * @param {{ position: Position }} visit
   */
  constructor(subject, visit) {
    const { classes } = subject.detail;
    this.subject = subject;
    this.visit = visit;
    this.asking = new AbortController();
    this.epoch = 0;
    this.asked = ""; // about what, so that an answer about something else is taken away
    this.truth = classes.includes("cat") ? "cat" : classes[0];
    this.buttons = classes.map((name) => this.choice(name));
    this.channel = el("input", { type: "number", min: 0, value: 0, required: true });
    this.channel.addEventListener("change", () => this.channel.reportValidity() && this.again());
    this.of = el("span");
    this.result = el("div", { class: "step-result" });
    this.take = el("button", { class: "primary" }, "Take one step");
    const form = el(
      "form",
      { class: "step-form", "aria-label": "One step of learning" },
      el(
        "div",
        { class: "question", role: "group", "aria-label": "The right answer" },
        "The right answer:",
        ...this.buttons,
      ),
      el("label", {}, "filter ", this.channel, " ", this.of),
      this.take,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.ask().catch(showTrouble);
    });
    const how =
      "Training does this over and over: it works back from the loss to how much each weight adds to it, the gradient, and moves " +
      "every weight a little against that. Say what the right answer is, and take one such step on your photo alone.";
    const title = el("h3", {}, "One step of learning on your photo");
    this.root = el("div", { class: "step" }, title, el("p", { class: "lead" }, how), form, this.result);
  }

  /** @param {string} name */
  choice(name) {
    const button = el(
      "button",
      { type: "button", class: "chip", "aria-pressed": String(name === this.truth), "data-truth": name },
      name === "not_cat" ? shortVerdict(name) : named(name),
    );
    button.addEventListener("click", () => {
      this.truth = name;
      for (const one of this.buttons) one.setAttribute("aria-pressed", String(one === button));
      this.again();
    });
    return button;
  }

  /** The convolution whose filter is shown: the one that is chosen in the walk, or the first. */
  get stage() {
    const { detail } = this.subject;
    const { stages } = detail;
    const open = stages.find(({ name, kind }) => name === this.visit.position.stage && kind === "convolution");
    return open ?? stages.find(({ name }) => name === firstFilter(detail)) ?? stages[0];
  }

  /**
   * The timeline is at an epoch, the visitor at a place in the walk: the filter chosen there is the one that is shown, and an
   * answer about another epoch or filter goes away.
   *
   * @param {number} epoch
   */
  follow(epoch) {
    const { stage } = this;
    const { position } = this.visit;
    const isChosen = position.stage === stage.name && position.channel !== null;
    const last = stage.shape[stage.shape.length - 1] - 1;
    const place = isChosen ? `${stage.name} ${position.channel}` : stage.name;
    this.epoch = epoch;
    if (this.root.dataset.place !== place) this.channel.value = String(isChosen ? position.channel : 0);
    this.root.dataset.place = place;
    this.channel.max = String(last);
    this.of.textContent = `of ${stage.name}, 0 to ${last}`;
    this.take.textContent = epoch ? `Take one step from epoch ${epoch}` : "Take one step from the random start";
    if (this.asked !== this.about) this.stop();
  }

  /** What an answer would be about. */
  get about() {
    return `${this.epoch} ${this.stage.name} ${this.channel.value}`;
  }

  /** Stop asking, and take the answer away. */
  stop() {
    this.asking.abort();
    this.asked = "";
    this.result.removeAttribute("aria-busy");
    this.result.replaceChildren();
  }

  /** Another answer or filter was chosen: what is shown is asked for anew. */
  again() {
    if (this.asked) this.ask().catch(showTrouble);
  }

  async ask() {
    this.asking.abort();
    this.asking = new AbortController();
    const { subject, epoch, truth, about } = this;
    const { photo, detail, signal } = subject;
    const query = { network: detail.network, epoch, stage: this.stage.name, channel: this.channel.valueAsNumber, truth };
    this.result.setAttribute("aria-busy", "true");
    this.asked = about;
    try {
      const answer = await api.post("explain/step", query, photo, AbortSignal.any([signal, this.asking.signal]));
      this.show(answer, strongest(answer.kernel.gradient).source, api.curl("explain/step", query, photo));
    } finally {
      if (!this.asking.signal.aborted) this.result.removeAttribute("aria-busy");
    }
  }

  /**
   * @param {StepAnswer} answer
   * @param {number} source the input channel that is shown
   * @param {string} command
   */
  show(answer, source, command) {
    const { kernel, learning_rate: rate } = answer;
    const worked = strongest(kernel.gradient, source);
    const weights = symmetric([...kernel.before, ...kernel.after].flat(2));
    /** @param {number} row @param {number} column */
    const isChosen = (row, column) => row === worked.row && column === worked.column;
    const grids = [
      cells(kernel.before, source, { caption: "before", scale: weights, part: "before", isChosen }),
      operator(`− ${number(rate)} ×`),
      cells(kernel.gradient, source, {
        caption: "gradient",
        scale: symmetric(kernel.gradient.flat(2)),
        part: "gradient",
        isChosen,
      }),
      operator("="),
      cells(kernel.after, source, { caption: "after", scale: weights, part: "after", isChosen }),
    ];
    const says = this.sentence(answer);
    this.result.replaceChildren(
      el("p", { class: "caption" }, says),
      this.chooser(answer, source, command),
      el("div", { class: "equation" }, ...grids),
      arithmetic(answer, worked),
      el("p", { class: "quiet" }, this.rated(answer)),
      el(
        "details",
        { class: "curl" },
        el("summary", {}, "The same request with curl"),
        el("pre", { tabindex: 0 }, el("code", {}, command)),
      ),
    );
    speak(says);
  }

  /** @param {StepAnswer} answer */
  sentence({ truth, probabilities, loss }) {
    const what = truth === "cat" || truth === "not_cat" ? shortVerdict(truth) : named(truth);
    const [from, to] = [probabilities.before[truth], probabilities.after[truth]].map(percent);
    const known = `−ln ${number(probabilities.before[truth])} = ${number(loss.before)}`;
    return `If “${what}” is right, the loss is ${known}. After one step it is ${number(loss.after)}, and the probability of “${what}” ${from} → ${to}.`;
  }

  /** Where the factor comes from. @param {StepAnswer} answer */
  rated({ step, learning_rate: rate, loss }) {
    const colours = ` For training, colours go from 0 to 1, here from 0 to 255; so it is ${number(step)} ÷ 255² = ${number(rate)}.`;
    const falls = loss.after < loss.before ? ", small enough for the loss to fall" : "";
    return `The learning rate is ${number(step)}${falls}.${rate === step ? "" : colours}`;
  }

  /**
   * @param {StepAnswer} answer
   * @param {number} source
   * @param {string} command
   */
  chooser(answer, source, command) {
    const [input] = this.stage.inputs;
    const options = answer.kernel.before[0][0].map((_, index) =>
      el("option", { value: index, selected: index === source }, channelName(input, index)),
    );
    const select = el("select", {}, ...options);
    select.addEventListener("change", () => {
      this.show(answer, Number(select.value), command);
      this.result.querySelector("select")?.focus();
    });
    return el("label", {}, `The weights of filter ${answer.channel} of ${answer.stage} for `, select);
  }
}

/** @param {string} text */
const operator = (text) => el("span", { class: "operator" }, text);

/**
 * Where a filter's gradient is largest, in one input channel or all of them.
 *
 * @param {number[][][]} gradient
 * @param {number} [only]
 */
function strongest(gradient, only) {
  let best = { row: 0, column: 0, source: only ?? 0 };
  gradient.forEach((line, row) => {
    line.forEach((values, column) => {
      values.forEach((value, source) => {
        const isLarger = Math.abs(value) > Math.abs(gradient[best.row][best.column][best.source]);
        if (isLarger && (only === undefined || source === only)) best = { row, column, source };
      });
    });
  });
  return best;
}

/**
 * One weight, worked out with all digits that matter.
 *
 * @param {StepAnswer} answer
 * @param {{ row: number, column: number, source: number }} where
 */
function arithmetic({ kernel, learning_rate: rate }, { row, column, source }) {
  const [before, gradient, after] = [kernel.before, kernel.gradient, kernel.after].map(
    (block) => block[row][column][source],
  );
  const text = `${long(before)} − ${long(rate)} × ${gradient < 0 ? `(${long(gradient)})` : long(gradient)} = ${long(after)}`;
  const where = `The weight in row ${row}, column ${column}: `;
  return el("p", { class: "arithmetic", "data-value": after }, where, el("strong", {}, text));
}

/** @param {number} value */
const long = (value) => String(Number(value.toPrecision(DIGITS))).replaceAll("-", "−");
