/** Requests to the service in, answers out; a refusal becomes an error whose message is a sentence. */
// @ts-check

/** @import { EffectsAnswer, Epochs, Guises, NetworkDetail, Networks, PickedPhoto, Prediction } from "./types.js" */
/** @import { StageExplanation, StepAnswer, Upload } from "./types.js" */
/** @import { Unit } from "./stage/units.js" */

/** @typedef {Record<string, string | number | boolean | null | undefined>} Query parameters; null and undefined are left out */

/**
 * What each path answers.
 *
 * @typedef {{ predict: Prediction, "explain/stage": StageExplanation, "explain/unit": Unit, guises: Guises,
 *   "explain/effects": EffectsAnswer, "explain/step": StepAnswer }} Answers
 */

let key = rememberedKey();

/**
 * Send this API key from now on. It is remembered until the tab is closed, if the browser allows that.
 *
 * @param {string} given
 */
export function useKey(given) {
  key = given;
  try {
    sessionStorage.setItem("key", given);
  } catch {
    // Storage is blocked: the page asks for the key again after a reload.
  }
}

function rememberedKey() {
  try {
    return sessionStorage.getItem("key") ?? "";
  } catch {
    return "";
  }
}

/** The service refused: `status` is its HTTP status, or 0 if it did not answer; `message` is its own explanation. */
export class Refusal extends Error {
  /**
   * @param {number} status
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/**
 * What is served.
 *
 * @returns {Promise<Networks>}
 */
export const networks = async () => {
  details.clear();
  return (await request("models", {}, {})).json();
};

/**
 * Everything about one network.
 *
 * @param {string} name
 * @param {AbortSignal} signal
 * @returns {Promise<NetworkDetail>}
 */
export async function network(name, signal) {
  const detail = details.get(name) ?? (await (await request(`models/${name}`, {}, { signal })).json());
  details.set(name, detail);
  return detail;
}

/**
 * How a network learned.
 *
 * @param {string} name
 * @param {AbortSignal} signal
 * @returns {Promise<Epochs>}
 */
export const epochs = async (name, signal) => (await request(`models/${name}/epochs`, {}, { signal })).json();

/** @type {Map<string, NetworkDetail>} asked for once, until the networks are asked for again */
const details = new Map();

/**
 * POST the photo, or what the network saw of it if that is known and smaller, and return the JSON answer. The
 * option `edits` goes into the form, where it may be long.
 *
 * @template {keyof Answers} P
 * @param {P} path
 * @param {Query} query
 * @param {PickedPhoto & { inputs?: Record<string, Blob> }} photo
 * @param {AbortSignal} signal
 * @returns {Promise<Answers[P]>}
 */
export async function post(path, { edits, ...query }, photo, signal) {
  const input = photo.inputs?.[String(query.network)];
  const file = input && input.size < photo.file.size ? input : photo.file;
  const body = form(file, photo.name);
  if (edits) body.append("edits", String(edits));
  return (await request(path, query, { method: "POST", body, signal })).json();
}

/**
 * POST the photo itself, once: the answer comes first, then every network's input, then the guises.
 *
 * @param {string} network
 * @param {PickedPhoto} photo
 * @param {AbortSignal} signal
 * @returns {Upload}
 */
export function walk(network, photo, signal) {
  const lines = linesOf(request("walk", { network }, { method: "POST", body: form(photo.file, photo.name), signal }));
  const first = nextOf(lines);
  const inputs = first.then(() => nextOf(lines));
  const guises = inputs.catch(() => {}).then(() => first.then(() => nextOf(lines)));
  for (const later of [inputs, guises]) later.catch(() => {}); // whoever needs it hears of it
  return { first, inputs, guises };
}

/**
 * @param {Blob} file
 * @param {string} name
 */
function form(file, name) {
  const body = new FormData();
  body.append("file", file, name);
  return body;
}

/** @param {AsyncGenerator<string>} lines */
async function nextOf(lines) {
  const { value } = await lines.next();
  if (!value) throw new Refusal(0, "The service stopped in the middle of its answer.");
  const answer = JSON.parse(value);
  if (answer.error) throw new Refusal(answer.error.status, answer.error.detail);
  return answer;
}

/**
 * The lines of an answer, each as soon as it is complete.
 *
 * @param {Promise<Response>} answered
 */
async function* linesOf(answered) {
  const reader = (await answered).body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value } = (await reader?.read()) ?? {};
    if (value === undefined) return;
    text += value;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      yield text.slice(0, end);
      text = text.slice(end + 1);
    }
  }
}

/**
 * GET a picture and return an object URL for <img>, which could not send the API key itself.
 *
 * @param {string} path
 * @param {Query} query
 * @param {AbortSignal} signal
 */
export async function picture(path, query, signal) {
  return URL.createObjectURL(await (await request(path, query, { signal })).blob());
}

/** What every request carries. */
export const headers = () => (key ? { "X-API-Key": key } : undefined);

/**
 * Rejects with a Refusal, or with an AbortError.
 *
 * @param {string} path
 * @param {Query} query
 * @param {RequestInit} options
 */
export async function request(path, query, options) {
  let response;
  try {
    response = await fetch(address(path, query), { ...options, headers: headers() });
  } catch (error) {
    if (superseded(error)) throw error;
    throw new Refusal(0, "The service did not answer. Check that it is running and that you are online.");
  }
  if (response.ok) return response;
  let detail;
  try {
    detail = (await response.json()).detail;
  } catch {
    detail = `The service answered ${response.status} ${response.statusText}.`;
  }
  throw new Refusal(response.status, detail);
}

/**
 * The full address of a path of the service, wherever a proxy has put it.
 *
 * @param {string} path
 * @param {Query} [query]
 */
export function address(path, query = {}) {
  const url = new URL(path, document.baseURI);
  url.hash = "";
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined) url.searchParams.set(name, String(value));
  }
  return url;
}

/** How a command begins. */
export const command = () => (key ? 'curl -H "X-API-Key: $KEY"' : "curl");

/** @param {string} text */
export const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * The command that sends the same request from a terminal.
 *
 * @param {string} path
 * @param {Query} query
 * @param {PickedPhoto} photo
 */
export function curl(path, { edits, ...query }, photo) {
  const name = /[;,"\\]/.test(photo.name) ? `"${photo.name.replace(/["\\]/g, "\\$&")}"` : photo.name; // as curl's -F reads names
  const changes = edits ? ` -F ${quoted(`edits=${edits}`)}` : "";
  return `${command()} -F ${quoted(`file=@${name}`)}${changes} ${quoted(address(path, query).href)}`;
}

/**
 * Whether an error only means that a newer request replaced this one.
 *
 * @param {unknown} error
 */
export const superseded = (error) => error instanceof Error && error.name === "AbortError";
