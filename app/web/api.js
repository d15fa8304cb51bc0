/** What the page asks of the service: requests in, answers out; a refusal becomes an error whose message is a sentence. */

let key = remembered();

/** Send this API key from now on; it is remembered until the tab is closed, if the browser allows that. */
export function useKey(given) {
  key = given;
  try {
    sessionStorage.setItem("key", given);
  } catch {
    // It is asked for again after the next reload.
  }
}

function remembered() {
  try {
    return sessionStorage.getItem("key") ?? "";
  } catch {
    return "";
  }
}

/** The service refused: `status` is its HTTP status, `message` its own words. */
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** GET a JSON answer. */
export const get = (path, signal) => send(path, {}, { signal });

/** POST the photo and return the JSON answer. `query` leaves out what is null. */
export function post(path, query, photo, signal) {
  const body = new FormData();
  body.append("file", photo.file, photo.name);
  return send(path, query, { method: "POST", body, signal });
}

/** GET a picture as an address for <img>; it needs the key, so <img> cannot fetch it itself. */
export async function picture(path, query, signal) {
  return URL.createObjectURL(await (await reach(path, query, { signal })).blob());
}

const send = async (path, query, options) => (await reach(path, query, options)).json();

async function reach(path, query, options) {
  let response;
  try {
    response = await fetch(address(path, query), { ...options, headers: key ? { "X-API-Key": key } : {} });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "The service did not answer. Is it still running, and is the network there?");
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

/** The full address of a path of the service, wherever a proxy has put it. */
export function address(path, query = {}) {
  const url = new URL(path, document.baseURI);
  url.hash = "";
  for (const [name, value] of Object.entries(query)) if (value !== null && value !== undefined) url.searchParams.set(name, value);
  return url;
}

/** The command that asks the same in a terminal. */
export function curl(path, query, photo) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const secret = key ? ' -H "X-API-Key: $KEY"' : "";
  const name = /[;,"\\]/.test(photo.name) ? `"${photo.name.replace(/["\\]/g, "\\$&")}"` : photo.name; // as curl's -F reads names
  return `curl${secret} -F ${quoted(`file=@${name}`)} ${quoted(address(path, query).href)}`;
}

/** Whether an error only says that a newer request took its place. */
export const superseded = (error) => error.name === "AbortError";
