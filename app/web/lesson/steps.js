/** The chapter in eight steps: [words] and [shown|words] are explained, {paths} begin with cnn, ordinary or a stage of the CNN. */
// @ts-check

import * as checks from "./checks.js";

/** @import { Position } from "../types.js" */
/** @import { Check } from "./checks.js" */
/** @import { Scene } from "./toyview.js" */

/**
 * Where "show me" leads: a position in the chapter's CNN, unless it names another network; on Chelsea, whatever photo is on the
 * page; or the curves, and the same epoch on the page's timeline.
 *
 * @typedef {{ label?: string, position?: Partial<Position>, chelsea?: boolean, curves?: boolean }} Place
 */

/**
 * `ask` labels the field for the answer, `choices` are buttons by value; without either, the answer is where the visitor is. The
 * first of `places` is "show me".
 *
 * @typedef {{ title: string, text: string, facts?: string, task: string, ask?: string, choices?: Record<string, string>,
 *   check: Check, places: Place[], toy?: Scene, curves?: boolean }} Step
 */

/** @type {Step[]} */
export const STEPS = [
  {
    title: "Why look for patterns?",
    text: "An ordinary neural network reads a photo as one long row of numbers. Each [neuron] of its first layer has one [weight] for every colour of every pixel, and nothing tells it which pixels are neighbours. Move the cat a little, and every number is another one. But an ear is an ear wherever it is, and the few pixels around it show it. So a convolutional neural network looks for small patterns, the same ones everywhere.",
    facts:
      "Here, the ordinary network has {ordinary.parameters} weights and biases, the convolutional one {cnn.parameters}. Of the same {cnn.metrics.sets.pooled.photos} photos the first gets {ordinary.accuracy.pooled} right, the second {cnn.accuracy.pooled}.",
    task: "How many weights does a neuron need that reads every pixel of a photo of 100 × 100, in red, green and blue?",
    ask: "weights",
    check: checks.weightsOfOneNeuron,
    places: [{ position: { network: "dense", stage: "flatten" } }],
  },
  {
    title: "A filter slides",
    text: "A [filter], or [kernel|filter], is a small grid of weights, the stencil of a pattern: a line, an edge, a corner. Laid on the photo, each weight is multiplied with the number under it, and the products are added up: the [dot product]. The better the pixels match, the larger the sum. A [bias] is added; then the filter moves on by its [stride], until it has been everywhere. A border of zeros, the [padding], lets it reach the edge. All its sums are a picture again, its [feature map]: bright where the pattern was found.",
    facts:
      "Here, the first layer has {block1_conv.shape.2} filters of {block1_conv.kernel}, each with a weight for red, green and blue: {block1_conv.parameters} weights and biases for the whole photo.",
    task: "Find a filter that likes whiskers: in block1_conv, open a channel in which Chelsea's longest whisker is bright and its sides are dark.",
    check: checks.likesWhiskers,
    places: [{ position: { stage: "block1_conv", channel: 8, row: 71, column: 21 }, chelsea: true }],
    toy: "filter",
  },
  {
    title: "Pooling",
    text: "The feature map says to the pixel where the pattern is. But that there is a whisker matters, not that it lies one pixel further left. So [pooling] takes one small window after the other and keeps only the largest number in it. The map shrinks, the strongest finds remain, and one that moves by a pixel often changes nothing. All that follows has less to read, and sees more of the photo at once.",
    facts: "Here, windows of {block1_pool.kernel} make {block1_pool.shape} numbers of {block1_conv.shape}.",
    task: "In block1_pool, channel 8, put the crosshair on row 35, column 10: Chelsea's whisker. Which of the four numbers stays?",
    ask: "the number",
    check: checks.staysInPool,
    places: [{ position: { stage: "block1_pool", channel: 8, row: 35, column: 10 }, chelsea: true }],
    toy: "pooling",
  },
  {
    title: "ReLU",
    text: "A sum can come out below zero: dark where the pattern wants it bright. For what follows, only what was found counts. So [ReLU] sets every negative number to zero and leaves the others as they are. It sounds like nothing; but without such a bend, all the layers could be worked out as a single one, and a deep network could do no more than a flat one.",
    task: "Find a number that ReLU clips: open a pooling stage, put the crosshair on a number below zero, and check.",
    check: checks.isClipped,
    places: [{ position: { stage: "block1_relu", channel: 8, row: 35, column: 13 }, chelsea: true }],
    toy: "relu",
  },
  {
    title: "Layer on layer",
    text: "A first filter sees a few pixels: enough for a line, too little for an eye. So its feature map is the input of further filters, which look for patterns of patterns: lines that meet, a bright ring around something dark. From layer to layer the [receptive field] of a number grows, and what a filter likes has fewer words. Filters, pooling and ReLU may be stacked in any number and order. The chapter pools before ReLU; the other way round gives the same numbers, since the largest stays the largest.",
    facts:
      "Here, a number of block1_conv depends on {block1_conv.receptive_field.size} pixels of the photo, one of block3_conv on {block3_conv.receptive_field.size}.",
    task: "Open the first stage in which a single number depends on more than half of the photo's height.",
    check: checks.seesHalf,
    places: [{ position: { stage: "block5_conv", row: 3, column: 3 } }],
  },
  {
    title: "Fully connected, softmax",
    text: "At the end, the numbers of the last maps are laid side by side (flatten), and two fully connected layers follow, in which each [neuron] reads all of them. The first weighs up what was found where. The last has a neuron for each answer, whose sum is a score: for a cat, for no cat. A score can be any number, so [softmax] makes probabilities of them: e to the power of each, divided by the sum of these. Together they are 1.",
    task: "Open the score of cat (scores, number 0) for Chelsea. Which of the neurons before it adds the most?",
    ask: "the neuron",
    check: checks.addsMost,
    places: [
      { position: { stage: "scores", channel: 0 }, chelsea: true },
      { label: "Show me softmax", position: { stage: "probabilities", channel: 0 } },
    ],
  },
  {
    title: "Training",
    text: "Nobody wrote the weights. At first they are random, and so are the answers. In [training], the network gets photos whose answers are known; the [loss] says how wrong it was. [Backpropagation|backpropagation] finds, for each weight, which way the loss would fall, and moves it a small step that way. Once through all the photos is an [epoch]. After each, photos that were kept out of training show whether the network has learned something about cats, or only knows its own photos by heart.",
    facts:
      "Here: {cnn.history.photos.train.cat} photos with cats and {cnn.history.photos.train.not_cat} without, {cnn.history.epochs.length} epochs, on {cnn.history.machine}.",
    task: "The way up was bumpy. Move the slider to the epoch after which the network was right least often on photos that it was not trained on.",
    check: checks.worstEpoch,
    places: [{ curves: true }, { label: "Show me what it learned", position: { stage: "block1_conv", channel: 8 } }],
    curves: true,
  },
  {
    title: "All of it, on your photo",
    text: "A photo, filters, pooling, ReLU, and again, and again; a row of numbers, neurons that read all of them, two probabilities. No step knows what a cat is: each multiplies, adds and compares, with weights that training found. Put your own photo on the page and go the whole way, down to a single sum.",
    task: "Before you trust the answer: is there a cat in the photo on the page? Say what you see, and compare.",
    choices: { cat: "A cat", not_cat: "No cat" },
    check: checks.seesTheSame,
    places: [
      { position: { stage: "probabilities", channel: 0 } },
      ...["block1_conv", "block1_pool", "block1_relu", "block5_relu", "flatten", "dense", "scores"].map((stage) => ({
        label: stage,
        position: { stage },
      })),
    ],
  },
];
