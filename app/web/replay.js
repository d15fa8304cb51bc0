/**
 * A walk to keep: a file that holds what was asked and answered, so that anybody with the photo can walk it again and see
 * whether the same comes out. Nothing of it is stored on the server.
 */

import { number } from "./format.js";
import { subject } from "./words.js";

const FORMAT = "catscope-walk";
const TOLERANCE = 1e-4; // of a probability: other machines round differently, other networks answer differently

/** The walk as a file's text. `answers` are those of /predict without pictures, /explain/unit and /guises, or null. */
export function write({ photo, place, settings, answers, picture }) {
  const { image, model } = answers.predict;
  const walk = { format: FORMAT, version: 1, photo: { name: photo.name, ...image }, model, place, settings, answers, picture };
  return JSON.stringify(walk, null, 1);
}

/** What a downloaded walk says. Throws an Error whose message is a sentence when it is none. */
export async function read(file) {
  let walk;
  try {
    walk = JSON.parse(await file.text());
  } catch {
    throw new Error(`${file.name} is not a walk: it cannot be read as JSON.`);
  }
  if (walk?.format !== FORMAT || !whole(walk)) throw new Error(`${file.name} is not a walk that was downloaded here.`);
  const { stage, ...numbers } = walk.place;
  const place = { stage: typeof stage === "string" ? stage : null };
  for (const name of ["channel", "row", "column"]) place[name] = Number.isInteger(numbers[name]) && numbers[name] >= 0 ? numbers[name] : null;
  const opacity = walk.settings?.opacity;
  return { ...walk, place, settings: { opacity: opacity >= 0 && opacity <= 1 ? opacity : null } };
}

/** The probability that an answer is told by; undefined where there is none. */
export const told = (answer) => answer.probabilities && answer.probabilities[subject(answer)];

/** Whether everything is there that a walk is compared by. */
function whole({ photo, model, place, answers, picture }) {
  const texts = [photo?.name, photo?.sha256, model?.network, model?.sha256];
  const numbers = [photo?.width, photo?.height, answers?.predict && told(answers.predict)];
  const pictured = picture === null || picture === undefined || typeof picture === "string";
  return texts.every((text) => typeof text === "string") && numbers.every(Number.isFinite) && place && typeof place === "object" && pictured;
}

/** The photo inside of a walk, as {file, name}, or null if it was saved without. */
export async function photoOf(walk) {
  if (!walk.picture) return null;
  const { name } = walk.photo;
  try {
    const [, type, data] = /^data:(image\/[\w.+-]+);base64,(.*)$/s.exec(walk.picture);
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    return { file: new File([bytes], name, { type }), name };
  } catch {
    throw new Error("The photo inside of this walk is damaged.");
  }
}

/** A file as a data URI. */
export function inline(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^data:(application\/octet-stream)?;/, "data:image/unknown;"));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

/** One sentence: whether what came out now is what came out then. `then` is {photo, model, probability}, the last may be null. */
export function compare(then, now) {
  if (then.photo && then.photo !== now.image.sha256) return "This is another photo than the one of the walk (its SHA-256 differs), so other numbers are to be expected.";
  if (then.model && then.model !== now.model.sha256) return "Same photo, but this service runs another version of the network than the walk (its SHA-256 differs).";
  if (then.probability === null) return "Replayed: the same photo, the same network.";
  const difference = Math.abs(then.probability - told(now));
  return difference <= TOLERANCE
    ? `Replayed: same photo, same network, same answer (difference ${number(difference)}).`
    : `Same photo and same network, but another answer: the walk has ${number(then.probability)}, here it is ${number(told(now))}.`;
}
