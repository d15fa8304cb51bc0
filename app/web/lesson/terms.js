/** The chapter's words: underlined where they stand, they explain themselves on hover, tap and focus. */
// @ts-check

import { el } from "../basics/dom.js";

/** @type {Record<string, string>} */
export const TERMS = {
  backpropagation:
    "Working back from the loss, layer by layer: would it fall if this weight were a little larger, or smaller? Each weight then moves a little that way.",
  bias: "A number added to a sum of products, whatever the inputs are.",
  "dot product": "Multiply each number with its partner and add up the products. The better they match, the larger it is.",
  epoch: "One pass through all the photos of the training.",
  "feature map":
    "All results of one filter, laid out as a picture: bright where its pattern was found. Also called a channel.",
  filter: "A small grid of weights, also called kernel, that slides over a picture and measures how well it matches.",
  loss: "One number for how wrong the answers are. Training makes it smaller.",
  neuron:
    "Multiplies its inputs by its weights, adds up the products and a bias, and passes the sum on. Every number in a feature map comes from one.",
  padding: "A border of zeros around a picture, so that the filter can be centred on pixels at the edge.",
  pooling: "Replacing each small window by one number, here the largest in it. What was found stays, roughly where it was.",
  "receptive field": "The part of the photo that one number depends on. It grows from layer to layer.",
  ReLU: "Rectified linear unit: numbers below zero become zero, all others stay as they are.",
  softmax: "Makes probabilities of scores: e to the power of each, divided by the sum of all of these.",
  stride: "How many pixels the filter moves from one position to the next.",
  training: "Adjusting the weights, example by example, so that the answers become less wrong.",
  weight: "A number that an input is multiplied by.",
};

let many = 0; // of the explanations, which need an id each

/** A text as nodes, its words, [stride] or [kernel|filter], with their explanations; lesson.css shows those. @param {string} text */
export const termed = (text) =>
  text.split(/\[([^\]]+)\]/).map((part, i) => {
    if (i % 2 === 0) return part;
    const [shown, name = shown] = part.split("|");
    const id = `tip-${many++}`;
    const tip = el("span", { class: "tip", id }, el("strong", {}, name), ` ${TERMS[name]}`);
    return el("button", { type: "button", class: "term", "aria-label": shown, "aria-describedby": id }, shown, tip);
  });

/** Escape puts an explanation away, until the pointer or the focus comes to another word. @param {HTMLElement} root */
export function dismissible(root) {
  addEventListener("keydown", ({ key }) => key === "Escape" && root.classList.add("no-tips"));
  for (const event of ["pointerover", "focusin"]) root.addEventListener(event, () => root.classList.remove("no-tips"));
}
