/** What a visitor takes away from the page and brings back: a link to the view, a downloaded walk. */
// @ts-check

import * as address from "./address.js";
import { $ } from "./basics/dom.js";
import { showMessage, showTrouble } from "./message.js";

/** @import { Guises, Photo, PickedPhoto, Position, Prediction } from "./types.js" */
/** @import { Unit } from "./stage/units.js" */
/** @import { Edits } from "./surgery/edits.js" */

/**
 * @typedef {object} Visit what there is to take away
 * @property {Photo | null} photo
 * @property {Position} position
 * @property {number} opacity
 * @property {{ predict?: Prediction, unit?: Unit | null, guises?: Guises }} answers
 */

/**
 * Listen to the buttons.
 *
 * @param {Visit} visit as it is when a button is pressed
 * @param {Edits} edits the visitor's changes of the network, which they do not take away
 */
export function takeAway(visit, edits) {
  $("download").addEventListener("click", () => download(visit, edits).catch(showTrouble));
  $("link").addEventListener("click", () => copyLink(visit, edits));
}

/**
 * @param {Visit} visit
 * @param {Edits} edits
 */
async function download({ photo, position, opacity, answers }, edits) {
  const { predict, unit, guises } = answers;
  if (!photo || !predict) return;
  const withPhoto = $("with-photo", HTMLInputElement).checked;
  const own = edits.count ? null : unit; // the unit shown is the changed network's
  const { save } = await import("./replay.js");
  await save({ photo, position, opacity, predict, unit: own ?? null, guises, withPhoto });
  if (edits.count) showMessage("The walk is downloaded as the network's own: your changes are not in it.", "notice");
}

/**
 * @param {Visit} visit
 * @param {Edits} edits
 */
async function copyLink({ position, answers }, edits) {
  if (!answers.predict) return;
  const { image, model } = answers.predict;
  const url = new URL(location.href);
  url.hash = address.fragment({ ...position, photo: image.sha256, model: model.sha256 });
  try {
    await navigator.clipboard.writeText(url.href);
    const without = edits.count ? ", without your changes of the network" : "";
    showMessage(`The link is copied. Whoever opens it and drops the same photo sees this view${without}.`, "notice");
  } catch {
    prompt("Copy this link:", url.href);
  }
}

/**
 * Read a downloaded walk: its network, its position, its photo if it is inside, or else a sentence that asks for it. Throws an
 * Error whose message is a sentence if it cannot be replayed here.
 *
 * @param {PickedPhoto} file
 * @param {string[] | null} networks that are served; null: not known yet
 */
export async function openWalk(file, networks) {
  const replay = await import("./replay.js");
  const walk = await replay.read(file);
  const { photo, place, settings } = walk;
  const { network } = walk.model;
  if (!networks) throw new Error("The list of networks has not arrived yet. Try again in a moment.");
  if (!networks.includes(network)) throw new Error(`This walk uses the network ${network}, which is not served here.`);
  const what = `${photo.name}, ${photo.width} × ${photo.height} (SHA-256 ${photo.sha256.slice(0, 12)}…)`;
  return {
    photo: await replay.photoOf(walk),
    expected: replay.expectedOf(walk),
    position: { ...place, network },
    opacity: settings.opacity,
    ask: `This walk is of ${what}. Drop that photo here to replay it.`,
  };
}
