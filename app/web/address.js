/**
 * The visitor's position in the walk, stored in the page's address, so that "back" works and a link leads to the same view:
 * #network=tutorial&stage=block2_conv&channel=3&row=12&column=7, and
 * &epoch=3 while the timeline of its training is open there. A shared link also has photo= and model=, both SHA-256. What
 * the page opens with is in the query: ?sample=chelsea, ?lesson=3.
 */
// @ts-check

/** @import { Position, SharedPosition } from "./types.js" */

const MEMBERS = /** @type {const} */ (["network", "stage", "channel", "row", "column", "epoch", "photo", "model"]);

/**
 * The position in the address; what the address leaves out is null.
 *
 * @returns {SharedPosition}
 */
export function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  /** @param {string} name */
  const text = (name) => given.get(name) || null;
  /** @param {string} name */
  const index = (name) => (/^\d{1,6}$/.test(given.get(name) ?? "") ? Number(given.get(name)) : null);
  return {
    network: text("network"),
    stage: text("stage"),
    photo: text("photo"),
    model: text("model"),
    channel: index("channel"),
    row: index("row"),
    column: index("column"),
    epoch: index("epoch"),
  };
}

/** A parameter of the query, or null. @param {string} name */
export const parameter = (name) => new URLSearchParams(location.search).get(name);

/**
 * The address's fragment for a position.
 *
 * @param {Position | SharedPosition} position
 */
export function fragment(position) {
  /** @type {Partial<SharedPosition>} */
  const members = position;
  const given = new URLSearchParams();
  for (const name of MEMBERS) {
    const value = members[name];
    if (value !== null && value !== undefined) given.set(name, String(value));
  }
  return given.size ? `#${given}` : "";
}

/**
 * Write the position into the address: as a new entry of the history, or in place of the current one.
 *
 * @param {Position} position
 * @param {{ newEntry: boolean }} options
 */
export function write(position, { newEntry }) {
  const url = location.pathname + location.search + fragment(position);
  if (newEntry) history.pushState(null, "", url);
  else history.replaceState(null, "", url);
}

/**
 * Lead the page to a position, as a link to it would; the page also scrolls there.
 *
 * @param {SharedPosition} position
 */
export function lead(position) {
  const entry = { follow: true };
  history.pushState(entry, "", location.pathname + location.search + fragment(position));
  dispatchEvent(new PopStateEvent("popstate", { state: entry }));
}

/**
 * Set a parameter of the address in place; null takes it away. The position stays.
 *
 * @param {string} name
 * @param {string | null} value
 */
export function writeParameter(name, value) {
  const url = new URL(location.href);
  if (value === null) url.searchParams.delete(name);
  else url.searchParams.set(name, value);
  history.replaceState(history.state, "", url);
}
