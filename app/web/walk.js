/** Act two, from afar: the network as a ribbon of stages, each drawn to scale with its strongest channels. */

import { $, el } from "./dom.js";
import { percent, plural, size } from "./format.js";
import { kind, shortVerdict, subject } from "./words.js";

const FACE = 112; // pixels of the longer side of the network's input; every other picture is drawn in proportion

const DRAWN = "Pictures are drawn to scale: watch them shrink on the way.";
const NOT_DRAWN = "This one makes no pictures of it: it lays all its numbers side by side in one row.";

/**
 * Draw the ribbon: `detail` is GET /models/{network}, `answer` that of /predict with thumbnails, `photo` the visitor's.
 * `onOpen` gets the name of a stage that is opened.
 */
export function draw(detail, answer, photo, onOpen) {
  const longer = Math.max(...detail.input_shape.slice(0, 2));
  const face = ([height, width]) => ({ width: `${(FACE * width) / longer}px`, height: `${(FACE * height) / longer}px` });
  const seen = Object.fromEntries(answer.feature_maps.map((map) => [map.stage, map]));
  const first = el(
    "li",
    {},
    el(
      "div",
      { class: "card" },
      el("div", { class: "scale" }, el("div", { class: "face", style: face(detail.input_shape) }, el("img", { src: photo.url, alt: "" }))),
      el("span", { class: "kind" }, "your photo"),
      el("span", { class: "name" }, "image"),
      el("span", { class: "size" }, size(detail.input_shape)),
    ),
  );
  const cards = detail.stages.map((stage) => card(stage, seen[stage.name], answer, face, onOpen));
  $("ribbon").replaceChildren(first, ...cards);
  const pictures = detail.stages.some((stage) => stage.shape.length === 3);
  $("walk-lead").textContent = `Your photo, from left to right through the network. ${pictures ? DRAWN : NOT_DRAWN} Open a step to see what it saw.`;
}

function card(stage, map, answer, face, onOpen) {
  const last = stage.kind === "probabilities";
  const strongest = map.channels.map((channel) => channel.index).join(", ");
  const many = plural(stage.shape.at(-1), stage.shape.length === 3 ? "channel" : "number");
  const told = subject(answer);
  const says = last ? `${percent(answer.probabilities[told])} ${shortVerdict(told)}` : `${many}, the strongest: ${strongest}`;
  return el(
    "li",
    {},
    el(
      "button",
      {
        type: "button",
        class: "card",
        "data-stage": stage.name,
        "aria-label": `${stage.name}: ${kind(stage)}, ${size(stage.shape)}; ${says}`,
        onclick: () => onOpen(stage.name),
      },
      el("div", { class: "scale" }, stage.shape.length === 3 ? pile(stage, map, face) : column(map)),
      el("span", { class: "kind" }, kind(stage)),
      el("span", { class: "name" }, stage.name),
      el("span", { class: "size" }, size(stage.shape)),
      last
        ? el("span", { class: "end" }, `${percent(answer.probabilities[told])} ${shortVerdict(told)}`)
        : el("div", { class: "thumbs" }, ...map.channels.map((channel) => el("img", { src: channel.thumbnail, alt: "" }))),
    ),
  );
}

/** A picture with as many edges behind it as there are doublings of channels. */
function pile(stage, map, face) {
  const behind = Math.round(Math.log2(stage.shape[2]));
  const edges = Array.from({ length: behind }, (_, i) => `${i + 1}px ${-i - 1}px 0 ${i % 2 ? "var(--edge)" : "var(--paper)"}`);
  const style = { ...face(stage.shape), "box-shadow": edges.join(", ") || "none" };
  return el("div", { class: "face", style }, el("img", { src: map.channels[0].thumbnail, alt: "" }));
}

/** Where there is no picture left: a row of numbers, the strongest on top. */
const column = (map) => el("div", { class: "column" }, ...map.channels.map((channel) => el("img", { src: channel.thumbnail, alt: "" })));

/** Mark the stage that is open, `name` or a layer inside of it, and bring its card into view, without moving the page. */
export function mark(name, calm) {
  const cards = [...$("ribbon").querySelectorAll("button.card")];
  const open = cards.find((one) => one.dataset.stage === name) ?? cards.find((one) => name.startsWith(`${one.dataset.stage}_`));
  for (const one of cards) {
    if (one === open) one.setAttribute("aria-current", "step");
    else one.removeAttribute("aria-current");
  }
  if (!open) return;
  const ribbon = $("ribbon");
  const middle = open.getBoundingClientRect().left - ribbon.getBoundingClientRect().left + open.offsetWidth / 2;
  ribbon.scrollBy({ left: middle - ribbon.clientWidth / 2, behavior: calm ? "auto" : "smooth" });
}

/** Every stage in order, the layers inside of a stage before it, as the photo passes them. */
export function passed(detail) {
  return detail.stages.flatMap((stage) => [...inside(detail, stage), stage]);
}

/** The layers inside of a stage: block3_expand and block3_depthwise of block3. */
export const inside = (detail, stage) => detail.inner.filter((layer) => layer.name.startsWith(`${stage.name}_`));
