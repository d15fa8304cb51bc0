/** Act two, the overview: the network as a ribbon of stages, each drawn to scale with its strongest channels. */
// @ts-check

import { $, el } from "../basics/dom.js";
import { percent, plural, size } from "../basics/format.js";
import { kind, mainClass, shortVerdict } from "../basics/words.js";

/** @import { FeatureMapAnswer, NetworkDetail, Photo, Prediction, StageAnswer } from "../types.js" */

/** @typedef {(shape: number[]) => { width: string, height: string }} Scale CSS lengths for a picture of that shape */

const INPUT_PIXELS = 112; // longer side of the network's input on the page; every other picture is drawn in proportion

const SPECK = 28; // pixels: smaller pictures are also shown through a loupe

const DRAWN = "Pictures are drawn to scale: watch them shrink along the way; a round loupe enlarges the smallest.";
const NOT_DRAWN = "This network makes no pictures of it: it lays all its numbers side by side in one row.";

/**
 * Draw the ribbon from an answer of /predict with thumbnails. `onOpen` gets the name of a stage that is opened.
 *
 * @param {NetworkDetail} detail
 * @param {Prediction} answer
 * @param {Photo} photo
 * @param {(stage: string) => void} onOpen
 */
export function draw(detail, answer, photo, onOpen) {
  const longer = Math.max(...detail.input_shape.slice(0, 2));
  /** @type {Scale} */
  const scale = ([height, width]) => ({
    width: `${(INPUT_PIXELS * width) / longer}px`,
    height: `${(INPUT_PIXELS * height) / longer}px`,
  });
  const maps = new Map(answer.feature_maps.map((map) => [map.stage, map]));
  const isSquare = photo.width === photo.height;
  const [rows, columns] = detail.input_shape;
  const shape = rows === columns ? "a square" : `${columns} × ${rows}`;
  const input = el(
    "li",
    {},
    el(
      "button",
      { type: "button", class: "card image", "data-stage": "image", onclick: () => onOpen("image") },
      el(
        "div",
        { class: "scale" },
        el("div", { class: "face", style: scale(detail.input_shape) }, el("img", { src: photo.url, alt: "" })),
      ),
      el("span", { class: "kind" }, "your photo"),
      el("span", { class: "name" }, "image"),
      el("span", { class: "size" }, size(detail.input_shape)),
      isSquare ? null : el("span", { class: "quiet" }, `squeezed to ${shape}`),
    ),
  );
  const cards = detail.stages.map((stage) => card(stage, maps.get(stage.name), answer, scale, onOpen));
  $("ribbon").replaceChildren(input, ...cards);
  const pictures = detail.stages.some((stage) => stage.shape.length === 3);
  $("walk-lead").textContent =
    `Your photo, from left to right through the network. ${pictures ? DRAWN : NOT_DRAWN} Open a stage to see what it computed.`;
}

/**
 * @param {StageAnswer} stage
 * @param {FeatureMapAnswer | undefined} map
 * @param {Prediction} answer
 * @param {Scale} scale
 * @param {(stage: string) => void} onOpen
 */
function card(stage, map, answer, scale, onOpen) {
  const channels = map?.channels ?? [];
  const isPicture = stage.shape.length === 3;
  const isLast = stage.kind === "probabilities";
  const main = mainClass(answer);
  const result = `${percent(answer.probabilities[main])} ${shortVerdict(main)}`;
  const strongest = channels.map((channel) => channel.index).join(", ");
  const many = plural(stage.shape[stage.shape.length - 1], isPicture ? "channel" : "number");
  const summary = isLast ? "" : `${many}, strongest: ${strongest}`;
  const thumbnails = channels.map((channel) => el("img", { src: channel.thumbnail, alt: "" }));
  return el(
    "li",
    { class: (map?.min ?? 0) < 0 ? "of-both-signs" : null },
    el(
      "button",
      { type: "button", class: "card", "data-stage": stage.name, onclick: () => onOpen(stage.name) },
      el("div", { class: "scale pixelated" }, isPicture ? pile(stage, channels[0]?.thumbnail, scale) : column(thumbnails)),
      el("span", { class: "kind" }, kind(stage)),
      el("span", { class: "name" }, stage.name),
      el("span", { class: "size" }, size(stage.shape)),
      isLast
        ? el("span", { class: "end" }, result)
        : el("div", { class: "thumbs pixelated" }, ...thumbnails.map((image) => image.cloneNode())),
      el("span", { class: "spoken" }, summary),
    ),
  );
}

/**
 * A picture with one edge behind it for each doubling of the channels.
 *
 * @param {StageAnswer} stage
 * @param {string | undefined} picture
 * @param {Scale} scale
 */
function pile(stage, picture, scale) {
  const behind = Math.round(Math.log2(stage.shape[2]));
  const edges = Array.from(
    { length: behind },
    (_, i) => `${i + 1}px ${-i - 1}px 0 ${i % 2 ? "var(--edge)" : "var(--paper)"}`,
  );
  const style = { ...scale(stage.shape), "box-shadow": edges.join(", ") || "none" };
  const face = el("div", { class: "face", style }, el("img", { src: picture, alt: "" }));
  const isSpeck = Number.parseFloat(style.width) < SPECK;
  return isSpeck ? [face, el("div", { class: "loupe" }, el("img", { src: picture, alt: "" }))] : face;
}

/**
 * What a stage without pictures shows: its strongest numbers, the strongest on top.
 *
 * @param {HTMLImageElement[]} thumbnails
 */
const column = (thumbnails) => el("div", { class: "column" }, ...thumbnails);

/**
 * Mark the open stage, or the stage that contains the open layer, and scroll the ribbon, not the page, to its card.
 *
 * @param {string} name
 * @param {ScrollBehavior} behavior
 */
export function mark(name, behavior) {
  const ribbon = $("ribbon");
  const cards = [...ribbon.querySelectorAll("button")];
  const open =
    cards.find((card) => card.dataset.stage === name) ?? cards.find((card) => name.startsWith(`${card.dataset.stage}_`));
  for (const card of cards) {
    if (card === open) card.setAttribute("aria-current", "step");
    else card.removeAttribute("aria-current");
  }
  if (!open) return;
  const middle = open.getBoundingClientRect().left - ribbon.getBoundingClientRect().left + open.offsetWidth / 2;
  ribbon.scrollBy({ left: middle - ribbon.clientWidth / 2, behavior });
}

/**
 * Every stage in order, each preceded by the layers inside it, as the photo passes them.
 *
 * @param {NetworkDetail} detail
 */
export function inOrder(detail) {
  return detail.stages.flatMap((stage) => [...inside(detail, stage), stage]);
}

/**
 * The name of the stage that many steps further on than the open one: of the ribbon or, inside a block, of its layers too.
 *
 * @param {NetworkDetail} detail
 * @param {string} open
 * @param {number} by
 * @returns {string | undefined}
 */
export function neighbour(detail, open, by) {
  const stages = ["image", ...detail.stages.map((stage) => stage.name)];
  const names = stages.includes(open) ? stages : inOrder(detail).map((stage) => stage.name);
  return names[names.indexOf(open) + by];
}

/**
 * The layers inside a stage: block3_expand and block3_depthwise of block3.
 *
 * @param {NetworkDetail} detail
 * @param {StageAnswer} stage
 */
export const inside = (detail, stage) => detail.inner.filter((layer) => layer.name.startsWith(`${stage.name}_`));
