/** The tasks' answers: what the visitor found, compared with what the service says, as a sentence. */
// @ts-check

import { onPage } from "../acts/answer.js";
import * as address from "../address.js";
import { count, number, percent, share } from "../basics/format.js";
import { figures, NETWORK, unit } from "./known.js";

/** @import { Epoch } from "./known.js" */

/** @typedef {(given: string) => Promise<string>} Check of what was typed, set or chosen; a sentence that begins with "Yes" if right */

const WHISKER = { row: 71, column: 21 }; // on Chelsea's longest whisker, as the network gets her
const POOLED = { row: 35, column: 10 }; // the window of block1_pool with that pixel
const LIKES_WHISKERS = 8; // a channel of block1_conv that is positive there and negative above and below

/** Where the visitor is in the chapter's CNN; in another network, nowhere. */
const here = () => {
  const position = address.read();
  return position.network === NETWORK ? position : { stage: null, channel: null, row: null, column: null };
};

/** @type {Check} */
export async function weightsOfOneNeuron(given) {
  const { cnn, ordinary } = await figures();
  const all = ordinary.stages[0].shape[0];
  const [high, wide] = cnn.stages[0].kernel ?? [1, 1];
  const ofFilter = high * wide * ordinary.input_shape[2];
  return Number.parseFloat(given) === all
    ? `Yes: ${ordinary.input_shape.join(" × ")} = ${count(all)}. A first filter of ${NETWORK} has ${ofFilter}.`
    : "Not yet: one for each colour of each pixel. How many are there?";
}

/** @type {Check} */
export async function likesWhiskers() {
  const { stage, channel } = here();
  if (stage !== "block1_conv" || channel === null) return "Open a channel of block1_conv in the network tutorial first.";
  const rows = [-1, 0, 1].map((by) => unit({ stage, channel, row: WHISKER.row + by, column: WHISKER.column }));
  const [above, on, below] = (await Promise.all(rows)).map(({ computed }) => computed);
  const found = `on the whisker (row ${WHISKER.row}, column ${WHISKER.column}) channel ${channel} has ${number(on)}, above it ${number(above)}, below ${number(below)}.`;
  return on > 0 && above < 0 && below < 0
    ? `Yes: ${found} It likes thin bright lines that run across.`
    : `Not this one: ${found} Look for a number above zero between two below.`;
}

/** @type {Check} */
export async function staysInPool(given) {
  const { value } = await unit({ stage: "block1_pool", channel: LIKES_WHISKERS, ...POOLED });
  return Math.abs(Number.parseFloat(given) - value) < 0.01
    ? `Yes: ${number(value)}, the largest of the four. The others are gone.`
    : "Not yet. The four numbers stand below the pictures.";
}

/** @type {Check} */
export async function isClipped() {
  const { stage, channel, row, column } = here();
  const [, block] = /^(block\d)_(?:pool|relu)$/.exec(stage ?? "") ?? [];
  if (!block || channel === null) return "Open a pooling stage of the network tutorial first.";
  const relu = await unit({ stage: `${block}_relu`, channel, row: row ?? 0, column: column ?? 0 }, onPage()?.photo);
  const before = relu.kind === "relu" ? relu.patch[0][0][0] : 0;
  const after = `${number(before)} goes in, ${number(relu.value)} comes out.`;
  return before < 0 ? `Yes: ${after}` : `This one passes: ${after} Look for a number below zero.`;
}

/** @type {Check} */
export async function seesHalf() {
  const { cnn } = await figures();
  const half = cnn.input_shape[0] / 2;
  const open = cnn.stages.find(({ name }) => name === here().stage);
  if (!open) return "Open a stage of the network tutorial first.";
  const rows = open.receptive_field.size[0];
  const sees = `a number of ${open.name} depends on ${rows} of ${2 * half} rows.`;
  const first = cnn.stages.find((stage) => stage.receptive_field.size[0] > half);
  return open === first ? `Yes: ${sees}` : rows > half ? `Too far: ${sees}` : `Not far enough: ${sees}`;
}

/** @type {Check} */
export async function addsMost(given) {
  const score = await unit({ stage: "scores", channel: 0 });
  const terms = score.kind === "dense" ? score.contributions : [];
  const [most] = terms.toSorted((one, other) => other.product - one.product);
  return Number.parseFloat(given) === most.index
    ? `Yes: number ${most.index} adds ${number(most.value)} × ${number(most.weight)} = ${number(most.product)}.`
    : "Not this one. Look for the largest product in the table.";
}

/** @type {Check} */
export async function worstEpoch(given) {
  const lowest = worst((await figures()).cnn.history?.epochs ?? []);
  return Number(given) === lowest?.epoch
    ? `Yes: after epoch ${given} only ${share(lowest.validation_accuracy)} were right. The next ones mended it.`
    : "Not this one. Look for the deepest dip of the second curve.";
}

/** The epoch after which fewest photos of the validation set were right. @param {Epoch[]} epochs @returns {Epoch | undefined} */
export const worst = (epochs) => epochs.toSorted((one, other) => one.validation_accuracy - other.validation_accuracy)[0];

/** @type {Check} */
export async function seesTheSame(given) {
  const answered = onPage()?.prediction;
  if (!answered) return "There is no answer yet. Choose a photo first.";
  const { verdict, probabilities, model } = answered;
  const says = `${model.network} gives a cat ${percent(probabilities.cat ?? 0)}`;
  if (verdict === given) return `Yes: ${says}, too.`;
  return verdict === "unsure" ? `${says}: it is not sure.` : `${says}. One of you is wrong.`;
}
