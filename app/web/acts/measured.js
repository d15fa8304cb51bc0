/** How often a network was right on photos that it did not learn from: the API's figures in, a sentence out. */
// @ts-check

import { plural, share } from "../basics/format.js";

/** @import { MeasuredAnswer } from "../types.js" */

/**
 * The sentence below the walk's heading: what all tested photos say together, or the validation photos if none were tested.
 *
 * @param {MeasuredAnswer[]} measured
 */
export function sentence(measured) {
  const whole = measured.find(({ photos_of }) => photos_of === "pooled");
  const sets = measured.filter((figures) => figures !== whole);
  if (!sets.length) return "Nobody has tested this network on photos yet.";
  const shown = whole ?? sets[0];
  const photos = plural(shown.photos, "photo");
  const right = `${share(shown.accuracy)} (95 % interval: ${share(shown.low)} to ${share(shown.high)})`;
  if (shown.how === "test") return `Tested on ${photos} (${names(sets)}): right on ${right}.`;
  return `Not tested yet. On ${photos} that its training set aside (${shown.photos_of}): right on ${right}.`;
}

/** @param {MeasuredAnswer[]} sets */
const names = (sets) => sets.map(({ photos_of }) => photos_of).join(", ");
