/** All channels of a stage in a grid, on one colour scale with one legend; one of them is chosen. */
// @ts-check

import { el } from "../basics/dom.js";
import { count, number } from "../basics/format.js";
import { gradient } from "../basics/palette.js";
import { channel as channelName } from "../basics/words.js";

/** @import { ChannelSummary, ScaleAnswer, SheetAnswer, StageExplanation } from "../types.js" */

/** @typedef {(channel: number) => void} OnOpen */

const MAX_BUTTONS = 2048; // a row of 30,000 numbers is one picture to click on, not 30,000 buttons

/**
 * The legend of a colour scale: its colours, with both ends and zero labelled.
 *
 * @param {ScaleAnswer} scale
 * @param {string} [stage]
 */
export function legend(scale, stage) {
  const background = stage === "image" ? "linear-gradient(to right, #000, #999)" : gradient(scale);
  return el(
    "div",
    { class: "legend", role: "img", "aria-label": `Colours from ${number(scale.bottom)} to ${number(scale.top)}` },
    el("span", {}, number(scale.bottom)),
    el("span", { class: "bar", style: { background } }, scale.bottom < 0 ? el("span", { class: "zero" }, "0") : null),
    el("span", {}, number(scale.top)),
  );
}

/**
 * The grid of an answer of /explain/stage. `onOpen` gets the index of a channel that is opened.
 *
 * @param {StageExplanation} explained
 * @param {number} chosen
 * @param {OnOpen} onOpen
 */
export function grid({ stage, sheet, channels, shape, scale }, chosen, onOpen) {
  const noun = shape.length === 3 ? "channel" : "unit";
  /** @param {number} index */
  const nameOf = (index) => (stage === "image" ? channelName(stage, index) : `${noun} ${index}`);
  const picker = el("input", { type: "number", min: 0, max: channels.length - 1, value: chosen, required: true });
  picker.addEventListener("change", () => picker.reportValidity() && onOpen(picker.valueAsNumber));
  const only = el("span", {}, `one ${noun}`);
  const many = el("label", {}, `${noun} `, picker, ` from 0 to ${count(channels.length - 1)}`);
  const head = el("div", { class: "channels-head" }, channels.length > 1 ? many : only, legend(scale, stage));
  if (!sheet) return el("div", { class: "channels" }, head);
  const isLarge = channels.length > MAX_BUTTONS;
  const cells = isLarge ? asPicture(sheet, channels.length, onOpen) : asButtons(sheet, channels, chosen, nameOf, onOpen);
  return el("div", { class: scale.bottom < 0 ? "channels of-both-signs" : "channels" }, head, cells);
}

/**
 * @param {SheetAnswer} sheet
 * @param {ChannelSummary[]} channels
 * @param {number} chosen
 * @param {(channel: number) => string} nameOf
 * @param {OnOpen} onOpen
 */
function asButtons(sheet, channels, chosen, nameOf, onOpen) {
  const [height, width] = sheet.cell;
  const zoom = pixels(channels.length, height) / Math.max(height, width);
  const rows = Math.ceil(channels.length / sheet.columns);
  const whole = `${sheet.columns * (width + sheet.gap) * zoom}px ${rows * (height + sheet.gap) * zoom}px`;
  const buttons = channels.map(({ mean, peak }, index) => {
    const x = (index % sheet.columns) * (width + sheet.gap) * zoom;
    const y = Math.floor(index / sheet.columns) * (height + sheet.gap) * zoom;
    const figures = height * width === 1 ? `: ${number(mean)}` : `, mean ${number(mean)}, peak ${number(peak)}`;
    return el("button", {
      type: "button",
      class: "channel",
      "data-channel": index,
      tabindex: index === chosen ? 0 : -1,
      "aria-pressed": String(index === chosen),
      "aria-label": nameOf(index) + figures,
      title: nameOf(index),
      style: {
        width: `${width * zoom}px`,
        height: `${height * zoom}px`,
        "background-image": `url("${sheet.picture}")`,
        "background-size": whole,
        "background-position": `${-x}px ${-y}px`,
      },
      onclick: () => onOpen(index),
    });
  });
  const label = `All ${count(channels.length)}, from ${nameOf(0)} on`;
  return el("div", { class: "cells", role: "group", "aria-label": label, onkeydown: moveFocus }, ...buttons);
}

/**
 * The longer side of a channel on the page, in pixels.
 *
 * @param {number} many
 * @param {number} height
 */
function pixels(many, height) {
  if (height === 1) return many > 256 ? 14 : 22;
  return many <= 16 ? 104 : many <= 64 ? 76 : many <= 256 ? 52 : 30;
}

/**
 * Arrow keys move between channels, as they stand; only one of them is a tab stop.
 *
 * @param {KeyboardEvent} event
 */
function moveFocus(event) {
  const cells = event.currentTarget instanceof HTMLElement ? event.currentTarget : document.body;
  const buttons = [...cells.querySelectorAll("button")];
  const from = event.target instanceof HTMLButtonElement ? buttons.indexOf(event.target) : -1;
  const perRow = buttons.filter((button) => button.offsetTop === buttons[0].offsetTop).length;
  const last = buttons.length - 1;
  /** @type {Record<string, number>} */
  const targets = {
    ArrowRight: from + 1,
    ArrowLeft: from - 1,
    ArrowDown: from + perRow,
    ArrowUp: from - perRow,
    Home: 0,
    End: last,
  };
  const to = targets[event.key];
  if (from < 0 || to === undefined) return;
  event.preventDefault();
  if (!buttons[to]) return;
  buttons[from].tabIndex = -1;
  buttons[to].tabIndex = 0;
  buttons[to].focus();
}

/**
 * @param {SheetAnswer} sheet
 * @param {number} many
 * @param {OnOpen} onOpen
 */
function asPicture(sheet, many, onOpen) {
  const image = el("img", { src: sheet.picture, alt: `All ${count(many)} units, one square each`, class: "wall" });
  image.addEventListener("click", (event) => {
    const column = Math.floor((event.offsetX / image.clientWidth) * sheet.columns);
    const rows = Math.ceil(many / sheet.columns);
    const index = Math.floor((event.offsetY / image.clientHeight) * rows) * sheet.columns + column;
    if (index >= 0 && index < many) onOpen(index);
  });
  const label = `All ${count(many)} units as one picture`;
  return el("div", { class: "cells", role: "group", "aria-label": label, tabindex: 0 }, image);
}

/**
 * Mark another channel as chosen without drawing the grid again.
 *
 * @param {HTMLElement} root
 * @param {number} chosen
 */
export function choose(root, chosen) {
  for (const button of root.querySelectorAll("button")) {
    const isChosen = Number(button.dataset.channel) === chosen;
    button.setAttribute("aria-pressed", String(isChosen));
    button.tabIndex = isChosen ? 0 : -1;
  }
  for (const picker of root.querySelectorAll("input")) picker.value = String(chosen);
}
