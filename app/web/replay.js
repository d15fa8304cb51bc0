/**
 * A downloaded walk: a file with the questions and answers, so that anybody who has the photo can replay it and see whether
 * the same answers come out. The server stores nothing of it.
 */
// @ts-check

import { el } from "./basics/dom.js";
import { number } from "./basics/format.js";
import { mainClass } from "./basics/words.js";

/** @import { Expected, Guises, Photo, PickedPhoto, Position, Prediction, Walk } from "./types.js" */
/** @import { Unit } from "./stage/units.js" */

const FORMAT = "catscope-walk";
const TOLERANCE = 1e-4; // of a probability: machines round differently by less, networks differ by more

/**
 * Download the walk as a file, without the answers' pictures.
 *
 * @param {object} visit
 * @param {Photo} visit.photo
 * @param {Position} visit.position
 * @param {number} visit.opacity
 * @param {Prediction} visit.predict
 * @param {Unit | null} visit.unit
 * @param {Guises | undefined} visit.guises
 * @param {boolean} visit.withPhoto whether the file contains the photo
 */
export async function save({ photo, position, opacity, predict, unit, guises, withPhoto }) {
  const { heatmap, input, ...bare } = predict;
  const bareGuises = guises && { ...guises, guises: guises.guises.map(({ thumbnail, ...guise }) => guise) };
  const { stage, channel, row, column } = position;
  /** @type {Walk} */
  const walk = {
    format: FORMAT,
    version: 1,
    photo: { name: photo.name, ...predict.image },
    model: predict.model,
    place: { stage, channel, row, column },
    settings: { opacity },
    answers: { predict: bare, unit, guises: bareGuises ?? null },
    picture: withPhoto ? await inline(photo.file) : null,
  };
  const href = URL.createObjectURL(new Blob([JSON.stringify(walk, null, 1)], { type: "application/json" }));
  el("a", { href, download: `${photo.name.replace(/\.\w+$/, "")}.walk.json` }).click();
  setTimeout(() => URL.revokeObjectURL(href), 1000);
}

/**
 * Read a downloaded walk. Throws an Error whose message is a sentence if the file is no walk.
 *
 * @param {PickedPhoto} file
 * @returns {Promise<Walk>}
 */
export async function read({ file, name }) {
  let walk;
  try {
    walk = JSON.parse(await file.text());
  } catch {
    throw new Error(`${name} is not a walk: it is not valid JSON.`);
  }
  if (walk?.format !== FORMAT || !isComplete(walk)) throw new Error(`${name} is not a walk downloaded from this page.`);
  const { stage, channel, row, column } = walk.place;
  const place = {
    stage: typeof stage === "string" ? stage : null,
    channel: indexOrNull(channel),
    row: indexOrNull(row),
    column: indexOrNull(column),
  };
  const opacity = walk.settings?.opacity;
  return { ...walk, place, settings: { opacity: opacity >= 0 && opacity <= 1 ? opacity : null } };
}

/**
 * @param {unknown} value
 * @returns {number | null}
 */
const indexOrNull = (value) => (typeof value === "number" && Number.isInteger(value) && value >= 0 ? value : null);

/**
 * The probability that the page shows of an answer; undefined where there is none.
 *
 * @param {Pick<Prediction, "label" | "probabilities">} answer
 * @returns {number | undefined}
 */
const probabilityOf = (answer) => answer.probabilities?.[mainClass(answer)];

/**
 * Whether a walk has everything that is needed to compare it.
 *
 * @param {Partial<Walk>} walk read from a file, so nothing about it is certain
 */
function isComplete({ photo, model, place, answers, picture }) {
  const texts = [photo?.name, photo?.sha256, model?.network, model?.sha256];
  const numbers = [photo?.width, photo?.height, answers?.predict && probabilityOf(answers.predict)];
  const hasValidPicture = picture === null || picture === undefined || typeof picture === "string";
  return (
    texts.every((text) => typeof text === "string") &&
    numbers.every(Number.isFinite) &&
    place &&
    typeof place === "object" &&
    hasValidPicture
  );
}

/**
 * The photo inside a walk, or null if it was saved without.
 *
 * @param {Walk} walk
 * @returns {Promise<PickedPhoto | null>}
 */
export async function photoOf(walk) {
  if (!walk.picture) return null;
  const { name } = walk.photo;
  try {
    const [, type, data] = /^data:(image\/[\w.+-]+);base64,(.*)$/s.exec(walk.picture) ?? [];
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    return { file: new File([bytes], name, { type }), name };
  } catch {
    throw new Error("The photo inside this walk is damaged.");
  }
}

/**
 * A file as a data URI.
 *
 * @param {Blob} file
 * @returns {Promise<string>}
 */
function inline(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () =>
      resolve(String(reader.result).replace(/^data:(application\/octet-stream)?;/, "data:image/unknown;"));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

/**
 * What replaying a walk should show again.
 *
 * @param {Walk} walk
 * @returns {Expected}
 */
export function expectedOf({ photo, model, answers }) {
  return { photo: photo.sha256, model: model.sha256, probability: probabilityOf(answers.predict) ?? null };
}

/**
 * One sentence: whether the answer is the one that was expected.
 *
 * @param {Expected} expected
 * @param {Prediction} answer
 */
export function compare(expected, answer) {
  if (expected.photo && expected.photo !== answer.image.sha256) {
    return "This is another photo than the walk's (its SHA-256 differs), so expect other numbers.";
  }
  if (expected.quiet) return "";
  if (expected.model && expected.model !== answer.model.sha256) {
    return "Same photo, but this service runs another version of the network than the walk did (its SHA-256 differs).";
  }
  if (expected.probability === null) return "Replayed: the same photo, the same network.";
  const probability = probabilityOf(answer) ?? Number.NaN;
  const difference = Math.abs(expected.probability - probability);
  return difference <= TOLERANCE
    ? `Replayed: same photo, same network, same answer (difference ${number(difference)}).`
    : `Same photo and same network, but another answer: ${number(expected.probability)} in the walk, ${number(probability)} here.`;
}
