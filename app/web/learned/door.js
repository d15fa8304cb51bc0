/** The act "How it learned" is there for a network that was kept epoch by epoch, and loaded when it is opened. */
// @ts-check

import * as address from "../address.js";
import { $, fade, find } from "../basics/dom.js";
import { showTrouble } from "../message.js";

/** @import { NetworkDetail, Photo, Position, Prediction } from "../types.js" */
/** @import { Edits } from "../surgery/edits.js" */
/** @import { Timeline } from "./timeline.js" */

/**
 * @typedef {object} Subject what is asked about
 * @property {Photo} photo
 * @property {NetworkDetail} detail
 * @property {Prediction} own what the network answers as it is served
 * @property {Edits} edits the visitor's changes of the network, which are left out
 * @property {AbortSignal} signal ends all requests about the photo
 */

export class Door {
  /** @param {{ position: Position }} visit where the visitor is; an epoch in it opens the act */
  constructor(visit) {
    this.visit = visit;
    this.root = $("learned");
    this.button = find(this.root, "button");
    this.body = $("learned-body");
    /** @type {Subject | null} null until the photo is answered */
    this.subject = null;
    /** @type {{ subject: Subject, timeline: Promise<Timeline> } | null} on its way since the act was opened */
    this.opening = null;
    /** @type {Timeline | null} */
    this.timeline = null;
    this.button.addEventListener("click", () => this.go(this.body.hidden ? 0 : null));
  }

  /** Another photo or network is asked about. */
  wait() {
    this.subject = null;
    this.timeline?.stop();
    this.timeline = null;
    fade(this.root, true);
  }

  /**
   * The photo is answered. `isLed`: if the act is open, the page scrolls to it.
   *
   * @param {Subject} subject
   * @param {boolean} isLed
   */
  offer(subject, isLed) {
    this.subject = subject;
    this.root.hidden = subject.detail.kept_epochs === null;
    fade(this.root, false);
    return this.follow(isLed);
  }

  /**
   * The visitor opens the act at an epoch, or closes it with null.
   *
   * @param {number | null} epoch
   */
  go(epoch) {
    this.visit.position.epoch = epoch;
    address.write(this.visit.position, { newEntry: true });
    if (epoch === null) this.button.focus();
    return this.follow();
  }

  /** Be open at the epoch that the position names, or closed. */
  async follow(isLed = false) {
    const { subject, visit } = this;
    const isOpen = subject !== null && subject.detail.kept_epochs !== null && typeof visit.position.epoch === "number";
    this.button.ariaExpanded = String(isOpen);
    this.body.hidden = !isOpen;
    if (!isOpen) {
      this.timeline?.stop();
      return;
    }
    if (isLed) this.root.scrollIntoView();
    try {
      if (this.opening?.subject !== subject) this.opening = { subject, timeline: this.load(subject) };
      const shown = await this.opening.timeline;
      if (subject !== this.subject || this.body.hidden) return;
      this.timeline = shown;
      if (!shown.root.isConnected) this.body.replaceChildren(shown.root);
      if (isLed) this.root.scrollIntoView();
      await shown.follow();
    } catch (error) {
      if (!this.timeline) this.opening = null; // so that it can be tried again
      showTrouble(error, () => this.follow());
    }
  }

  /** @param {Subject} subject */
  async load(subject) {
    const { timelineOf } = await import("./timeline.js");
    return timelineOf(subject, this.visit, () => this.go(null));
  }

  /** The visitor is elsewhere in the walk. */
  moved() {
    if (this.timeline?.isOpen) this.timeline.moved();
  }
}
