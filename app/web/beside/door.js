/** A second photo beside the first: chosen, or named by the address; what shows it is loaded then. */
// @ts-check

import * as address from "../address.js";
import { $, find } from "../basics/dom.js";
import { showTrouble } from "../message.js";

/** @import { PickedPhoto } from "../types.js" */
/** @import { StageView } from "../stage/stage.js" */
/** @import { Beside } from "./beside.js" */

export class Second {
  /** @param {{ view: StageView | null }} visit what the first photo is looked at with */
  constructor(visit) {
    this.visit = visit;
    this.root = $("beside");
    /** @type {Beside | null} null until it is loaded */
    this.beside = null;
    const input = find(this.root, "input", HTMLInputElement);
    input.addEventListener("change", () => {
      const [file] = input.files ?? [];
      input.value = "";
      if (file) this.open({ file, name: file.name });
    });
    for (const button of this.root.querySelectorAll("button")) {
      button.addEventListener("click", () => this.open(button.dataset.beside ?? ""));
    }
  }

  /** The first photo is in the walk. */
  offer() {
    const named = address.parameter("beside");
    if (!this.beside?.pair && named && this.root.querySelector(`[data-beside="${CSS.escape(named)}"]`)) this.open(named);
    this.moved();
  }

  /** @param {PickedPhoto | string} which a photo, or a sample's name */
  async open(which) {
    try {
      const { Beside } = await import("./beside.js");
      this.beside ??= new Beside(this.root, this.visit);
      await this.beside.open(which);
    } catch (error) {
      showTrouble(error);
    }
  }

  /** The visitor is elsewhere in the walk. */
  moved() {
    this.beside?.follow();
  }
}
