/** The changes that a visitor made of the network: a list as the API takes it, with undo, redo and reset. Nothing is stored. */
// @ts-check

/** @import { Cells } from "../stage/units.js" */
/** @import { Edit } from "../types.js" */

const DIGITS = 9; // of a weight: as many as tell float32 numbers apart

export class Edits {
  /** @type {Edit[]} what the network is like now: one edit a channel, or one for a whole stage */
  list = [];
  /** @type {Edit[][]} */
  past = [];
  /** @type {Edit[][]} */
  future = [];

  /** How many changes there are. */
  get count() {
    return this.list.length;
  }

  /** The option `edits` of a question; null for the network as it is. */
  text() {
    if (!this.count) return null;
    return JSON.stringify(this.list, (_, value) => (typeof value === "number" ? Number(value.toPrecision(DIGITS)) : value));
  }

  /** @param {string} stage */
  isStageMuted(stage) {
    return this.list.some((edit) => edit.stage === stage && edit.channel === undefined);
  }

  /**
   * @param {string} stage
   * @param {number} channel
   */
  isMuted(stage, channel) {
    return this.isStageMuted(stage) || Boolean(this.find(stage, channel)?.mute);
  }

  /**
   * The edit of one channel.
   *
   * @param {string} stage
   * @param {number} channel
   */
  find(stage, channel) {
    return this.list.find((edit) => edit.stage === stage && edit.channel === channel);
  }

  /**
   * Mute a channel, or have it back as the network has it.
   *
   * @param {string} stage
   * @param {number} channel
   */
  toggle(stage, channel) {
    if (this.isMuted(stage, channel)) this.restore(stage, channel);
    else this.change([...this.without(stage, channel), { stage, channel, mute: true }]);
  }

  /**
   * Mute a whole stage, in place of all changes of its channels, or have it back as the network has it.
   *
   * @param {string} stage
   */
  toggleStage(stage) {
    const others = this.list.filter((edit) => edit.stage !== stage);
    this.change(this.isStageMuted(stage) ? others : [...others, { stage, mute: true }]);
  }

  /**
   * Give a channel another filter.
   *
   * @param {string} stage
   * @param {number} channel
   * @param {Cells} kernel
   */
  replace(stage, channel, kernel) {
    this.change([...this.without(stage, channel), { stage, channel, kernel }]);
  }

  /**
   * Have a channel back as the network has it.
   *
   * @param {string} stage
   * @param {number} channel
   */
  restore(stage, channel) {
    this.change(this.without(stage, channel));
  }

  undo() {
    const before = this.past.pop();
    if (!before) return;
    this.future.push(this.list);
    this.list = before;
  }

  redo() {
    const after = this.future.pop();
    if (!after) return;
    this.past.push(this.list);
    this.list = after;
  }

  /** The service refused the newest change: as if it had never been. */
  takeBack() {
    this.undo();
    this.future.pop();
  }

  /** No changes, and none to come back to. */
  reset() {
    Object.assign(this, { list: [], past: [], future: [] });
  }

  /**
   * @param {string} stage
   * @param {number} channel
   */
  without(stage, channel) {
    return this.list.filter((edit) => edit.stage !== stage || edit.channel !== channel);
  }

  /** @param {Edit[]} list */
  change(list) {
    this.past.push(this.list);
    this.future = [];
    this.list = list;
  }
}
