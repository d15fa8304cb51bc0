/** What is kept here: the service's own sentences, and the networks that were taught, each to try or to delete. */
// @ts-check

import * as api from "../api.js";
import { el, speak } from "../basics/dom.js";
import { plural } from "../basics/format.js";
import { showTrouble } from "../message.js";
import { size } from "./size.js";
import { twice } from "./twice.js";

/** @import { Taught } from "./types.js" */

export class Kept {
  /** @param {{ look: (network: string) => void, change: () => unknown }} on `change`: a network was deleted */
  constructor(on) {
    this.on = on;
    this.told = "";
    this.title = el("h3", { id: "kept-title", tabindex: -1 }, "What is kept");
    this.body = el("div");
    this.root = el("section", { class: "kept-here", "aria-labelledby": "kept-title" }, this.title, this.body);
  }

  /** @param {Taught} taught */
  show({ networks, store }) {
    const told = JSON.stringify([networks, store]);
    if (told === this.told) return; // a button that was pressed once stays so
    this.told = told;
    const together = `Together: ${plural(store.networks, "network")}, ${size(store.bytes)}.`;
    this.body.replaceChildren(
      el("ul", { class: "sentences" }, ...store.kept.map((sentence) => el("li", {}, sentence))),
      networks.length
        ? el("ul", { class: "networks" }, ...networks.map((name) => this.row(name)))
        : el("p", { class: "quiet" }, "No network was taught here yet."),
      el("p", { class: "quiet" }, networks.length ? together : ""),
    );
  }

  /** @param {string} name */
  row(name) {
    const remove = twice("Delete", `Delete ${name} for good?`, () => this.delete(name), `Delete ${name}`);
    const open = { type: "button", "aria-label": `Open ${name}`, onclick: () => this.on.look(name) };
    return el("li", {}, el("span", { class: "name" }, name), el("button", open, "Open"), remove);
  }

  /** @param {string} name */
  async delete(name) {
    try {
      await api.request(`models/${encodeURIComponent(name)}`, {}, { method: "DELETE" });
      speak(`${name} is deleted.`);
      this.title.focus();
      await this.on.change();
    } catch (error) {
      showTrouble(error, () => this.delete(name));
    }
  }
}
