/** What the lesson asks the service: figures of the chapter's networks for its facts, numbers about a photo for its tasks. */
// @ts-check

import * as api from "../api.js";
import { count, share, size } from "../basics/format.js";
import { taken } from "../upload.js";

/** @import { Query } from "../api.js" */
/** @import { Unit } from "../stage/units.js" */
/** @import { NetworkDetail, Photo } from "../types.js" */

export const NETWORK = "tutorial"; // the chapter's CNN, about which the lesson is
const ORDINARY = "dense"; // the chapter's ordinary network, its foil

/** @typedef {{ epoch: number, loss: number, validation_accuracy: number }} Epoch */
/** @typedef {NetworkDetail & { history: { epochs: Epoch[] } | null }} Recorded */

const forever = new AbortController().signal;
/** @type {Photo | undefined} */
let sample;

/** Everything about both of the chapter's networks. */
export async function figures() {
  const details = await Promise.all([NETWORK, ORDINARY].map((name) => api.network(name, forever)));
  const [cnn, ordinary] = /** @type {Recorded[]} */ (details);
  return { cnn, ordinary };
}

/** A text with its {paths} into the API's answers filled in; "" where one is missing. @param {string} text */
export async function filled(text) {
  const { cnn, ordinary } = await figures();
  const roots = { cnn, ordinary, ...Object.fromEntries(cnn.stages.map((stage) => [stage.name, stage])) };
  let isWhole = true;
  const whole = text.replace(/\{([^}]+)\}/g, (_, path) => {
    const value = path.split(".").reduce((/** @type {any} */ inside, /** @type {string} */ name) => inside?.[name], roots);
    isWhole &&= value !== undefined && value !== null;
    if (Array.isArray(value)) return size(value);
    if (typeof value !== "number") return value;
    return Number.isInteger(value) ? count(value) : share(value);
  });
  return isWhole ? whole : "";
}

/** A number of the CNN's with its arithmetic, for Chelsea unless told. @type {(where: Query, photo?: Photo) => Promise<Unit>} */
export const unit = async (where, photo) =>
  api.post("explain/unit", { network: NETWORK, row: 0, column: 0, ...where }, photo ?? (await chelsea()), forever);

/** The sample, as if the visitor had picked it. */
async function chelsea() {
  if (!sample) {
    const response = await fetch(new URL("web/samples/chelsea.jpg", document.baseURI));
    if (!response.ok) throw new Error("The sample photo could not be loaded from the service.");
    sample = taken({ file: await response.blob(), name: "chelsea.jpg" });
  }
  return sample;
}
