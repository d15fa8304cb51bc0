/** What a network made of the photo after an epoch: asked for once a stop, and kept until the timeline is left. */
// @ts-check

import * as api from "../api.js";
import { firstFilter } from "../stage/pick.js";

/** @import { Prediction } from "../types.js" */
/** @import { Subject } from "./door.js" */

/** @typedef {{ prediction: Prediction, filters: string | null }} Stop `filters` is the address of their picture */

const CHANNELS = 8; // of the stage, the strongest

export class Stops {
  /** @param {Subject} subject */
  constructor(subject) {
    this.subject = subject;
    /** @type {Map<string, Prediction>} by epoch and stage */
    this.predictions = new Map();
    /** @type {Map<number, string>} the pictures' addresses */
    this.filters = new Map();
  }

  /**
   * @param {number} epoch
   * @param {string} stage
   */
  query(epoch, stage) {
    return { network: this.subject.detail.network, epoch, stages: stage, channels: CHANNELS };
  }

  /**
   * @param {number} epoch
   * @param {string} stage whose maps are wanted
   * @param {AbortSignal} signal
   * @returns {Promise<Stop>}
   */
  async at(epoch, stage, signal) {
    const [prediction, filters] = await Promise.all([this.predicted(epoch, stage, signal), this.filtersOf(epoch, signal)]);
    return { prediction, filters };
  }

  /**
   * @param {number} epoch
   * @param {string} stage
   * @param {AbortSignal} signal
   */
  async predicted(epoch, stage, signal) {
    const key = `${epoch} ${stage}`;
    const known = this.predictions.get(key);
    if (known) return known;
    const asked = await api.post("predict", this.query(epoch, stage), this.subject.photo, signal);
    this.predictions.set(key, asked);
    return asked;
  }

  /**
   * The address of the picture of the first filters; null for a network without filters.
   *
   * @param {number} epoch
   * @param {AbortSignal} signal
   */
  async filtersOf(epoch, signal) {
    const { detail } = this.subject;
    const known = this.filters.get(epoch);
    if (known || !detail.stages.some(({ kind }) => kind === "convolution")) return known ?? null;
    const url = await api.picture(`models/${detail.network}/kernels/${firstFilter(detail)}`, { epoch }, signal);
    this.filters.set(epoch, url);
    return url;
  }

  /** Forget all, and free the pictures. */
  clear() {
    for (const url of this.filters.values()) URL.revokeObjectURL(url);
    this.filters.clear();
    this.predictions.clear();
  }
}
