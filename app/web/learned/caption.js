/** What a stop of the timeline has to say: how good the network was, and what changed since the stop before, in numbers. */
// @ts-check

import { number, percent, share } from "../basics/format.js";

/** @import { Epochs } from "../types.js" */

/**
 * @param {Epochs} learned
 * @param {number} epoch
 * @param {{ what: string, now: number, before?: number }} photo the probabilities of the visitor's photo, here and one stop before
 */
export function caption({ epochs, shipped }, epoch, { what, now, before }) {
  const { accuracy, loss, learning_rate: rate } = epochs[epoch];
  const last = epochs[epoch - 1];
  if (!last || before === undefined) {
    return `Before training, the weights are random: ${share(accuracy)} of the validation photos right, loss ${number(loss)}; your photo ${percent(now)} ${what}.`;
  }
  const parts = [
    `${change(last.accuracy, accuracy, share)} of the validation photos right`,
    `loss ${change(last.loss, loss, number)}`,
    `your photo ${change(before, now, percent)} ${what}`,
  ];
  const rated = rate === null ? "" : `; learning rate ${number(rate)}`;
  const served = epoch === shipped ? " This is the network that answers above." : "";
  return `After epoch ${epoch}: ${parts.join("; ")}${rated}.${served}`;
}

/**
 * @param {number} from
 * @param {number} to
 * @param {(value: number) => string} format
 */
const change = (from, to, format) => `${format(from)} → ${format(to)}`;
