/** All channels of a stage in a grid, on one colour scale with one legend; one of them is chosen. */

import { el } from "./dom.js";
import { count, number } from "./format.js";
import { gradient } from "./palette.js";

const MOST_BUTTONS = 2048; // a row of 30,000 numbers is one picture to point at, not 30,000 buttons

/** The legend of a scale, {bottom, top}: its colours with both ends and zero. */
export function legend(scale) {
  return el(
    "div",
    { class: "legend", role: "img", "aria-label": `Colours from ${number(scale.bottom)} to ${number(scale.top)}` },
    el("span", {}, number(scale.bottom)),
    el("span", { class: "bar", style: { background: gradient(scale) } }, scale.bottom < 0 ? el("span", { class: "zero" }, "0") : null),
    el("span", {}, number(scale.top)),
  );
}

/** The grid. `explained` is an answer of /explain/stage, `chosen` the channel that is open; `onOpen` gets another's number. */
export function grid(explained, chosen, onOpen) {
  const { sheet, channels, shape } = explained;
  const noun = shape.length === 3 ? "channel" : "number";
  const picker = el("input", {
    type: "number",
    min: 0,
    max: channels.length - 1,
    value: chosen,
    required: true,
    onchange: (event) => event.target.reportValidity() && onOpen(Number(event.target.value)),
  });
  const cells = channels.length > MOST_BUTTONS ? asPicture(explained, onOpen) : asButtons(explained, chosen, noun, onOpen);
  return el(
    "div",
    { class: "channels" },
    el("div", { class: "channels-head" }, el("label", {}, `${noun} `, picker, ` of 0 to ${count(channels.length - 1)}`), legend(explained.scale)),
    cells,
  );
}

function asButtons({ sheet, channels }, chosen, noun, onOpen) {
  const [height, width] = sheet.cell;
  const zoom = wanted(channels.length, height) / Math.max(height, width);
  const rows = Math.ceil(channels.length / sheet.columns);
  const whole = `${sheet.columns * (width + sheet.gap) * zoom}px ${rows * (height + sheet.gap) * zoom}px`;
  const buttons = channels.map(({ mean, peak }, index) => {
    const x = (index % sheet.columns) * (width + sheet.gap) * zoom;
    const y = Math.floor(index / sheet.columns) * (height + sheet.gap) * zoom;
    return el("button", {
      type: "button",
      class: "channel",
      "data-channel": index,
      tabindex: index === chosen ? 0 : -1,
      "aria-pressed": String(index === chosen),
      "aria-label": height * width === 1 ? `${noun} ${index}: ${number(mean)}` : `${noun} ${index}, mean ${number(mean)}, peak ${number(peak)}`,
      title: `${noun} ${index}`,
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
  const list = el("div", { class: "cells", role: "group", "aria-label": `All ${count(channels.length)} ${noun}s`, onkeydown: (event) => roam(event, buttons) }, ...buttons);
  return list;
}

/** How long the longer side of a channel is shown, in pixels. */
function wanted(many, height) {
  if (height === 1) return many > 256 ? 14 : 22;
  return many <= 16 ? 104 : many <= 64 ? 76 : many <= 256 ? 52 : 30;
}

/** Arrow keys lead from channel to channel; only one of them is a stop for Tab. */
function roam(event, buttons) {
  const from = buttons.indexOf(event.target);
  const tops = buttons.map((button) => button.offsetTop);
  const across = tops.filter((top) => top === tops[0]).length;
  const to = { ArrowRight: from + 1, ArrowLeft: from - 1, ArrowDown: from + across, ArrowUp: from - across, Home: 0, End: buttons.length - 1 }[event.key];
  if (from < 0 || to === undefined) return;
  event.preventDefault();
  if (!buttons[to]) return;
  buttons[from].tabIndex = -1;
  buttons[to].tabIndex = 0;
  buttons[to].focus();
}

function asPicture({ sheet, channels }, onOpen) {
  const image = el("img", { src: sheet.picture, alt: `All ${count(channels.length)} numbers, a square each`, class: "wall" });
  image.addEventListener("click", (event) => {
    const column = Math.floor((event.offsetX / image.clientWidth) * sheet.columns);
    const rows = Math.ceil(channels.length / sheet.columns);
    const index = Math.floor((event.offsetY / image.clientHeight) * rows) * sheet.columns + column;
    if (index >= 0 && index < channels.length) onOpen(index);
  });
  return el("div", { class: "cells" }, image);
}

/** Mark another channel as chosen without drawing the grid again. */
export function choose(root, chosen) {
  for (const button of root.querySelectorAll(".channel")) {
    const is = Number(button.dataset.channel) === chosen;
    button.setAttribute("aria-pressed", String(is));
    button.tabIndex = is ? 0 : -1;
  }
  const picker = root.querySelector("input[type=number]");
  if (picker) picker.value = chosen;
}
