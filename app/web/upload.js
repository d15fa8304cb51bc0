/**
 * The photo travels once. What comes back holds all that needs the photo itself, and small files that stand for it in every
 * later question.
 */
// @ts-check

import * as api from "./api.js";

/** @import { Query } from "./api.js" */
/** @import { Photo, PickedPhoto, Prediction, Upload } from "./types.js" */

/**
 * A photo that was picked, before anything is known about it.
 *
 * @param {PickedPhoto} picked
 * @returns {Photo}
 */
export function taken({ file, name }) {
  const objectUrl = URL.createObjectURL(file);
  const unknown = { width: 0, height: 0, guises: null, inputs: {}, upload: null };
  return { file, name, objectUrl, url: objectUrl, ...unknown, leaving: new AbortController() };
}

/**
 * Free what a photo holds, and stop its upload.
 *
 * @param {Photo} photo
 */
export function forget({ objectUrl, leaving }) {
  leaving.abort();
  URL.revokeObjectURL(objectUrl);
}

/**
 * What a network answers to the photo, as /predict with that query would.
 *
 * @param {Photo} photo
 * @param {Query & { network: string }} query
 * @param {AbortSignal} signal
 * @returns {Promise<Prediction>}
 */
export async function answerOf(photo, query, signal) {
  const { first, inputs } = uploaded(photo, query.network);
  let answer = await first;
  signal.throwIfAborted();
  if (answer.model.network === query.network) return answer;
  const { image } = answer;
  await inputs;
  answer = await api.post("predict", query, photo, signal);
  return { ...answer, image }; // the service knows only the file that stands for the photo
}

/**
 * The photo's upload, begun now if there is none: its first line is that network's answer.
 *
 * @param {Photo} photo
 * @param {string} [network]
 * @returns {Upload}
 */
export function uploaded(photo, network = "") {
  if (photo.upload) return photo.upload;
  const { first, inputs, guises } = api.walk(network, photo, photo.leaving.signal);
  const upload = {
    first: first.then((answer) => keep(answer, { [answer.model.network]: answer.input ?? "" })),
    inputs: inputs.then((answer) => keep(answer, answer.inputs)),
    guises,
  };
  photo.upload = upload;
  for (const line of Object.values(upload)) {
    line.catch(() => {
      photo.upload = null; // the next question tries again
    });
  }
  return upload;

  /**
   * @template T
   * @param {T} answer
   * @param {Record<string, string>} uris
   */
  function keep(answer, uris) {
    for (const [name, uri] of Object.entries(uris)) photo.inputs[name] ??= blob(uri);
    return answer;
  }
}

/**
 * Browsers do not show TIFF, and animations move: the network's input picture stands in for such photos. Returns its address.
 *
 * @param {Photo} photo
 * @param {string} network
 * @param {AbortSignal} signal
 */
export async function standIn(photo, network, signal) {
  const query = { network, stage: "image", sheet: false, values: false };
  const { picture } = await api.post("explain/stage", query, photo, signal);
  photo.url = picture ?? photo.url;
  return photo.url;
}

/**
 * A data URI as a file.
 *
 * @param {string} uri
 */
function blob(uri) {
  const [, type, data] = /^data:([\w/+.-]+);base64,(.*)$/s.exec(uri) ?? [];
  return new Blob([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], { type });
}
