/** The corrections that a filter lets through, as the service has them: asked for page by page, changed one by one. */
// @ts-check

import * as api from "../api.js";

/** @import { Correction, Corrections, Kept } from "./types.js" */

/** @typedef {{ kind: string, network: string, day: string }} Filter empty: all */

const PAGE = 50; // corrections that are asked for at once
const CHAIN = 1000; // corrections among which earlier ones of a photo are looked for

export class Shelf {
  /** @param {Filter} filter */
  constructor(filter) {
    this.filter = filter;
    /** @type {Correction[]} */
    this.all = [];
    /** @type {Kept | null} */
    this.kept = null;
    /** @type {string | null} */
    this.next = null;
  }

  /** Ask for one page more; false: there is none. */
  async more() {
    if (this.kept && !this.next) return false;
    const found = await list({ ...this.filter, after: this.next, limit: PAGE });
    this.kept = found.kept;
    this.next = found.next;
    this.all.push(...found.corrections);
    return true;
  }

  /**
   * Say what a photo shows; returns the correction, which counts from now on.
   *
   * @param {Correction} one
   * @param {string} label
   * @returns {Promise<Correction>}
   */
  async correct({ sha256, network }, label) {
    const query = { sha256, network, label };
    return (await api.request("corrections", query, { method: "POST", body: new FormData() })).json();
  }

  /** Take a correction back: what was there before it counts again. @param {Correction} one */
  async takeBack({ id }) {
    await api.request(path(id), {}, { method: "DELETE" });
  }

  /**
   * Delete a photo, with all that was said of it about this network. `isLast`: the page is left, and nobody waits.
   *
   * @param {Correction} one
   * @param {boolean} isLast
   */
  async delete({ id, sha256, network }, isLast) {
    await api.request(path(id), {}, { method: "DELETE", keepalive: isLast });
    if (isLast) return;
    for (;;) {
      const { corrections } = await list({ network, limit: CHAIN });
      const earlier = corrections.find((one) => one.sha256 === sha256 && one.network === network);
      if (!earlier) return;
      await api.request(path(earlier.id), {}, { method: "DELETE" });
    }
  }
}

/**
 * @param {Record<string, string | number | null>} query
 * @returns {Promise<Corrections>}
 */
async function list(query) {
  const given = Object.fromEntries(Object.entries(query).filter(([, value]) => value));
  return (await api.request("corrections", given, {})).json();
}

/** @param {string} id */
const path = (id) => `corrections/${encodeURIComponent(id)}`;

/** Delete everything. */
export const deleteAll = () => api.request("corrections", { all: true }, { method: "DELETE" });

/**
 * The photo of a correction, as an object URL.
 *
 * @param {Correction} one
 * @param {AbortSignal} signal
 */
export const photoOf = ({ id }, signal) => api.picture(`${path(id)}/photo`, {}, signal);

/** Download everything as a zip file; a link could not send the API key. */
export async function download() {
  const href = URL.createObjectURL(await (await api.request("corrections/export", {}, {})).blob());
  const link = document.createElement("a");
  Object.assign(link, { href, download: "corrections.zip" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(href), 1000);
}
