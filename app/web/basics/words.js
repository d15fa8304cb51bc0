/** The page's words for stages, classes, verdicts and guises. */
// @ts-check

import { count, plural } from "./format.js";

/** @import { KeptPhotos, StageAnswer } from "../types.js" */

/** @type {Record<string, string>} where names differ */
const KINDS = {
  relu: "ReLU",
  add: "addition",
  dense: "fully connected",
  image: "your photo",
};

/** @type {Record<string, string>} */
const GUISES = {
  rotated_left: "rotated left 15°",
  rotated_right: "rotated right 15°",
  part_hidden: "partly hidden",
};

/** @type {Record<string, string>} */
const VERDICTS = {
  cat: "There is a cat in this photo.",
  not_cat: "No cat in this photo.",
  unsure: "I am not sure.",
  unfamiliar: "This looks like nothing that I was taught.",
};

/** @type {Record<string, string>} */
const SHORT_VERDICTS = { cat: "cat", not_cat: "no cat", unsure: "unsure", unfamiliar: "unfamiliar" };

/** @type {Record<string, [name: string, what: string]>} the networks that come with Catscope, for people */
const NETWORKS = {
  cat: ["the expert", "starts from ImageNet and looks for a cat in every part of the photo"],
  tutorial: ["the chapter's CNN", "five convolutions, five poolings"],
  dense: ["an ordinary network", "no filters: a separate weight for every number"],
};

/**
 * What is kept of a photo, in a sentence.
 *
 * @param {KeptPhotos} kept
 */
export function keeps({ photos, days }) {
  if (photos === "nothing") return "Your photo is not stored: the service answers it and forgets it.";
  const which = photos === "unsure" ? "the network is unsure about it, or you say" : "you say";
  return `Your photo is kept here${days ? ` for ${plural(days, "day")}` : ""} if ${which} that its answer is wrong; otherwise it is forgotten.`;
}

/**
 * A network's name for people; one that was brought has only its own.
 *
 * @param {string} name
 */
export const networkName = (name) => NETWORKS[name]?.[0] ?? name;

/**
 * What a network is, in a few words; empty for one that was brought.
 *
 * @param {string} name
 */
export const networkIs = (name) => NETWORKS[name]?.[1] ?? "";

/** @param {StageAnswer} stage */
export const kind = (stage) => KINDS[stage.kind] ?? label(stage.kind);

/** @param {string} name */
export const guise = (name) => GUISES[name] ?? label(name);

/** @param {string} name */
export const verdict = (name) => VERDICTS[name] ?? `This looks like: ${label(name)}.`;

/** @param {string} name */
export const shortVerdict = (name) => SHORT_VERDICTS[name] ?? label(name);

/**
 * A class's name as people read it.
 *
 * @param {string} name
 */
export const label = (name) => name.replaceAll("_", " ");

/**
 * The class whose probability the page shows: `cat`, even where it is less likely; of a network that tells other classes
 * apart, the likeliest.
 *
 * @param {{ label: string, probabilities: Record<string, number> }} answer
 */
export const mainClass = ({ label, probabilities }) => (isAboutCats(probabilities) ? "cat" : label);

/**
 * Whether a network only tells cats from all else.
 *
 * @param {Record<string, number>} probabilities
 */
export const isAboutCats = (probabilities) => Object.keys(probabilities).sort().join() === "cat,not_cat";

/**
 * The name of a channel; the channels of the network's input are colours.
 *
 * @param {string | undefined} stage
 * @param {number | null} index
 */
export const channel = (stage, index) => (stage === "image" ? ["red", "green", "blue"][Number(index)] : `channel ${index}`);

/**
 * The name of a stage that numbers come from; the network's input is the photo.
 *
 * @param {string} stage
 */
export const source = (stage) => (stage === "image" ? "the photo" : stage);

/**
 * One sentence about what the stage does; `inputs` is how many channels or numbers it reads.
 *
 * @param {StageAnswer} stage
 * @param {number} inputs
 */
export function sentence(stage, inputs) {
  const outputs = stage.shape[stage.shape.length - 1];
  const [high, wide] = stage.kernel ?? [1, 1];
  const window = `${high} × ${wide}`;
  switch (stage.kind) {
    case "image":
      return `What the network is given: the whole photo, squeezed or stretched to ${stage.shape[0]} × ${stage.shape[1]} pixels, as three channels: how red, how green and how blue each pixel is, from 0 to 255.`;
    case "rescaling":
      return "Rescales colours from 0…255 to about −1…1, a range in which networks learn more easily.";
    case "convolution": {
      const what =
        high * wide === 1
          ? `Mixes the ${plural(inputs, "channel")} at each position into ${count(outputs)}: each number is a sum of ${plural(inputs, "product")} and a bias.`
          : `Slides ${plural(outputs, "filter")} of ${window} over all ${plural(inputs, "channel")}: each number is a sum of ${high} × ${wide} × ${count(inputs)} = ${count(high * wide * inputs)} products and a bias.`;
      return what + strided(stage) + clipped(stage);
    }
    case "depthwise_convolution":
      return `Slides one ${window} filter over each channel separately: each number is a sum of ${high * wide} products and a bias.${strided(stage)}${clipped(stage)}`;
    case "pooling":
      if (stage.operation === "max") return `Takes the largest number in each ${window} window, which shrinks the picture.`;
      if (stage.operation === "average") return `Takes the mean of each ${stage.kernel ? `${window} window` : "channel"}.`;
      return "Combines the evidence from all positions into one number; strong evidence at a single position is enough (log-mean-exp).";
    case "relu":
      return "Keeps what is above zero and sets everything below it to zero.";
    case "add":
      return "Adds what the block computed to what came into it.";
    case "activation":
      return `Applies the function ${label(stage.operation ?? "")} to each number separately.`;
    case "multiplication":
      return "Multiplies its two inputs with each other, position by position.";
    case "padding":
      return "Puts a border of zeros around the picture, so that a filter can be centred on its edge.";
    case "cropping":
      return "Cuts edges off; no number changes.";
    case "resizing":
      return `Resizes the picture: each number is ${stage.operation === "nearest" ? "the nearest one" : "a mean of the nearest ones"} before.`;
    case "normalization":
      return "At each position, subtracts the channels' mean and divides by their deviation; then scales and shifts each.";
    case "concatenation":
      return `Stacks the channels of ${plural(stage.inputs.length, "stage")}; no number changes.`;
    case "flatten":
      return `Lays all numbers of the picture side by side in one row of ${count(outputs)}; which of them were neighbours is lost.`;
    case "dense":
      return inputs === 1
        ? `Each of its ${plural(outputs, "number")} is the one number before it, times a weight, plus a bias.`
        : `Each of its ${plural(outputs, "number")} is a weighted sum of all ${count(inputs)} before it, plus a bias.`;
    case "probabilities":
      return `Turns the ${outputs === 2 ? "two" : count(outputs)} scores into probabilities that add up to 1 (softmax).`;
    default:
      return "";
  }
}

/** @param {StageAnswer} stage */
function strided(stage) {
  const [down] = stage.stride ?? [1];
  return down > 1 ? ` It moves in steps of ${down}, so the picture shrinks.` : "";
}

/** @param {StageAnswer} stage */
function clipped(stage) {
  if (stage.activation === "relu6") return " Values below 0 become 0, values above 6 become 6 (ReLU6).";
  return stage.activation === "relu" ? " Values below 0 become 0 (ReLU)." : "";
}
