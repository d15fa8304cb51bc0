/** Classes of photos come in; the job that teaches them is begun, followed and cancelled. */
// @ts-check

import * as api from "../api.js";

/** @import { Job, PhotosOfClass, Sent } from "./types.js" */

const PAUSE = 600; // milliseconds between questions about a job
const PATIENCE = 20; // questions in a row that may go unanswered, as while the service restarts

/**
 * Every photo under the name that it is sent with: no two of a class have one.
 *
 * @param {PhotosOfClass[]} classes
 * @returns {Sent}
 */
export function named(classes) {
  /** @type {Sent} */
  const sent = new Map();
  for (const { name, photos } of classes) {
    for (const file of photos) {
      let unique = `${name}/${file.name}`;
      for (let i = 2; sent.has(unique); i += 1) unique = `${name}/${file.name.replace(/(\.\w+)?$/, ` (${i})$1`)}`;
      sent.set(unique, file);
    }
  }
  return sent;
}

/**
 * Begin a job. `onSent` gets the share of the photos that is on its way, 0..1. Rejects with a Refusal, or an AbortError.
 *
 * @param {PhotosOfClass[]} classes
 * @param {Sent} sent
 * @param {string} network its name; empty: the service chooses one
 * @param {{ onSent: (share: number) => void, signal: AbortSignal }} options
 * @returns {Promise<Job>}
 */
export function begin(classes, sent, network, { onSent, signal }) {
  const form = new FormData();
  for (const [path, file] of sent) {
    const { name } = classes.find((one) => path.startsWith(`${one.name}/`) && one.photos.includes(file)) ?? { name: "" };
    form.append(name, file, path.slice(name.length + 1));
  }
  const request = new XMLHttpRequest(); // fetch does not say how much it has sent
  request.open("POST", api.address("teach", { network: network || null }));
  for (const [name, value] of Object.entries(api.headers() ?? {})) request.setRequestHeader(name, value);
  request.upload.addEventListener("progress", ({ loaded, total }) => onSent(total ? loaded / total : 0));
  return new Promise((resolve, reject) => {
    const stop = () => request.abort();
    signal.addEventListener("abort", stop);
    request.addEventListener("abort", () => reject(signal.reason));
    request.addEventListener("error", () =>
      reject(new api.Refusal(0, "The photos could not be sent: the service ended the connection, or cannot be reached.")),
    );
    request.addEventListener("load", () => {
      signal.removeEventListener("abort", stop);
      const answer = parsed(request.responseText);
      if (request.status < 300 && answer?.job) resolve(answer);
      else reject(new api.Refusal(request.status, answer?.detail ?? `The service answered ${request.status}.`));
    });
    request.send(form);
  });
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * Follow a job to its end; `onJob` gets it whenever the service was asked. Rejects with a Refusal, or an AbortError.
 *
 * @param {string} name
 * @param {(job: Job) => void} onJob
 * @param {AbortSignal} signal
 * @returns {Promise<Job>}
 */
export async function follow(name, onJob, signal) {
  for (let unanswered = 0; ; ) {
    try {
      /** @type {Job} */
      const job = await (await api.request(path(name), {}, { signal })).json();
      unanswered = 0;
      onJob(job);
      if (!["waiting", "running"].includes(job.state)) return job;
    } catch (error) {
      unanswered += 1;
      const isPassing = error instanceof api.Refusal && [0, 429, 503].includes(error.status);
      if (!isPassing || unanswered > PATIENCE) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
    signal.throwIfAborted();
  }
}

/**
 * Cancel a job.
 *
 * @param {string} name
 */
export const cancel = (name) => api.request(path(name), {}, { method: "DELETE" });

/** @param {string} name */
const path = (name) => `teach/${encodeURIComponent(name)}`;

/**
 * The command that teaches the same from a terminal, in a folder that holds a folder for each class.
 *
 * @param {string[]} classes
 * @param {string} network
 */
export function curl(classes, network) {
  const names = classes.map((name) => api.quoted(name)).join(" ");
  const address = api.quoted(api.address("teach", { network }).href);
  return [
    "photos=()",
    `for class in ${names}; do for photo in "$class"/*; do photos+=(-F "$class=@$photo"); done; done`,
    `${api.command()} "\${photos[@]}" ${address}`,
  ].join("\n");
}
