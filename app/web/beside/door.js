/** A second photo beside the first: chosen, or named by the address; what shows it is loaded then. */
// @ts-check

import * as address from "../address.js";
import { $, find } from "../basics/dom.js";
import { showMessage, showTrouble } from "../message.js";

/** @import { PickedPhoto } from "../types.js" */
/** @import { StageView } from "../stage/stage.js" */
/** @import { Second } from "./second.js" */

export class Beside {
  constructor() {
    this.root = $("beside");
    /** @type {StageView | null} what the first photo is looked at with */
    this.view = null;
    /** @type {Second | null} */
    this.second = null;
    this.newest = 0; // counts photos, so that one that arrives late replaces none
    const input = find(this.root, "input", HTMLInputElement);
    input.addEventListener("change", () => {
      const [file] = input.files ?? [];
      if (file) this.open(async () => ({ file, name: file.name }), null);
      input.value = "";
    });
    for (const button of this.root.querySelectorAll("button")) {
      button.addEventListener("click", () => this.sample(button.dataset.beside ?? ""));
    }
  }

  /** The first photo is in the walk. @param {StageView} view */
  offer(view) {
    this.view = view;
    const named = address.parameter("beside");
    if (!this.second && named && find(this.root, "p").querySelector(`[data-beside="${CSS.escape(named)}"]`))
      this.sample(named);
    this.moved();
  }

  /** @param {string} name of a sample */
  sample(name) {
    return this.open(async () => {
      const response = await fetch(new URL(`web/samples/${name}.jpg`, document.baseURI));
      if (!response.ok) throw new Error("The sample photo could not be loaded from the service.");
      return { file: await response.blob(), name: `${name}.jpg` };
    }, name);
  }

  /**
   * Show a photo in the place of the second; one that cannot be answered leaves everything as it was.
   *
   * @param {() => Promise<PickedPhoto>} pick
   * @param {string | null} named how the address names it
   */
  async open(pick, named) {
    if (!this.view) return;
    this.newest += 1;
    const mine = this.newest;
    showMessage("");
    try {
      const [{ secondOf }, picked] = await Promise.all([import("./second.js"), pick()]);
      const second = await secondOf(picked, this.view, () => this.close());
      if (mine !== this.newest) return second.leave();
      this.second?.leave();
      this.second = second;
      find(this.root, ".second").replaceChildren(second.root);
      address.writeParameter("beside", named);
      this.moved();
    } catch (error) {
      showTrouble(error);
    }
  }

  /** The visitor is elsewhere in the walk. */
  moved() {
    if (this.view) this.second?.follow(this.view).catch(showTrouble);
  }

  close() {
    this.newest += 1;
    this.second?.leave();
    this.second = null;
    find(this.root, ".second").replaceChildren();
    address.writeParameter("beside", null);
    find(this.root, "input").focus();
  }
}
