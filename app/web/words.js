/** What a stage is and does, in a plain sentence. */

import { count, plural } from "./format.js";

const KINDS = {
  rescaling: "rescaling",
  convolution: "convolution",
  depthwise_convolution: "depthwise convolution",
  pooling: "pooling",
  relu: "ReLU",
  add: "addition",
  activation: "activation",
  multiplication: "multiplication",
  padding: "padding",
  concatenation: "concatenation",
  flatten: "flatten",
  dense: "fully connected",
  probabilities: "probabilities",
};

const GUISES = {
  original: "as it is",
  black_and_white: "black and white",
  mirrored: "mirrored",
  upside_down: "upside down",
  rotated_left: "turned left, 15°",
  rotated_right: "turned right, 15°",
  shifted: "shifted",
  zoomed_in: "zoomed in",
  zoomed_out: "zoomed out",
  dark: "dark",
  blurred: "blurred",
  part_hidden: "part hidden",
};

const VERDICTS = {
  cat: "There is a cat in this photo.",
  not_cat: "No cat in this photo.",
  unsure: "I am not sure.",
};

export const kind = (stage) => KINDS[stage.kind] ?? stage.kind;
export const guise = (name) => GUISES[name] ?? name.replaceAll("_", " ");
export const verdict = (name) => VERDICTS[name] ?? `This looks like: ${label(name)}.`;
export const shortVerdict = (name) => ({ cat: "cat", not_cat: "no cat", unsure: "unsure" })[name] ?? label(name);

/** A class's name as people read it. */
export const label = (name) => name.replaceAll("_", " ");

/** The class that an answer is told by: a cat, whatever is likelier; of a network with other classes, its likeliest. */
export const subject = ({ label, probabilities }) => ("cat" in probabilities ? "cat" : label);

/** The name of a channel: of the network's input they are colours. */
export const channel = (stage, index) => (stage === "image" ? ["red", "green", "blue"][index] : `channel ${index}`);

/** A stage as the source of numbers: the network's input is the photo. */
export const source = (stage) => (stage === "image" ? "the photo" : stage);

/** One sentence that says what the stage does; `inputs` is how many channels or numbers it reads. */
export function sentence(stage, inputs) {
  const outputs = stage.shape.at(-1);
  const [high, wide] = stage.kernel ?? [1, 1];
  const window = `${high} × ${wide}`;
  switch (stage.kind) {
    case "rescaling":
      return "Brings the colours from 0…255 to about −1…1, which networks learn from more easily.";
    case "convolution": {
      const what =
        high * wide === 1
          ? `Mixes the ${plural(inputs, "channel")} of each place into ${count(outputs)}: each number is a sum of ${plural(inputs, "product")} and a bias.`
          : `Slides ${plural(outputs, "filter")} of ${window} over all ${plural(inputs, "channel")}: each number is a sum of ${high} × ${wide} × ${count(inputs)} = ${count(high * wide * inputs)} products and a bias.`;
      return what + steps(stage) + clipped(stage);
    }
    case "depthwise_convolution":
      return `Slides one ${window} filter over each channel on its own: each number is a sum of ${high * wide} products and a bias.` + steps(stage) + clipped(stage);
    case "pooling":
      if (stage.operation === "max") return `Keeps the largest number of each ${window}, and so shrinks the picture.`;
      if (stage.operation === "average") return `Keeps the mean of each ${stage.kernel ? window : "channel"}.`;
      return "Blends the evidence of all places into one number; a single place with strong evidence is enough (log-mean-exp).";
    case "relu":
      return "Keeps what is above zero and clips everything below it to zero.";
    case "add":
      return "Adds what the block found to what came into it.";
    case "activation":
      return `Bends each number on its own, by the function ${stage.operation.replaceAll("_", " ")}.`;
    case "multiplication":
      return "Multiplies what came from one side with what came from the other, place by place.";
    case "padding":
      return "Puts a border of zeros around the picture, so that a filter can stand at its edge.";
    case "concatenation":
      return `Stacks the channels of ${plural(stage.inputs.length, "stage")} on top of each other; no number changes.`;
    case "flatten":
      return `Lays all numbers of the picture side by side in one row of ${count(outputs)}; which of them were neighbours is not told any more.`;
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

function steps(stage) {
  const [down] = stage.stride ?? [1];
  return down > 1 ? ` It moves in steps of ${down}, so the picture shrinks.` : "";
}

function clipped(stage) {
  if (stage.activation === "relu6") return " What comes out below 0 becomes 0, and above 6 becomes 6 (ReLU6).";
  return stage.activation === "relu" ? " What comes out below 0 becomes 0 (ReLU)." : "";
}
