/** A second photo comes in; answered, it lies beside the first until another takes its place, or the visitor takes it away. */
// @ts-check

import * as address from "../address.js";
import { Refusal } from "../api.js";
import { find } from "../basics/dom.js";
import { styled } from "../basics/sheet.js";
import { showMessage, showTrouble } from "../message.js";
import { forget, standIn, taken, uploaded } from "../upload.js";
import { Pair } from "./pair.js";

/** @import { Photo, PickedPhoto } from "../types.js" */
/** @import { StageView } from "../stage/stage.js" */

export class Beside {
  /**
   * @param {HTMLElement} root
   * @param {{ view: StageView | null }} visit what the first photo is looked at with
   */
  constructor(root, visit) {
    this.root = root;
    this.visit = visit;
    /** @type {Pair | null} */
    this.pair = null;
    this.newest = 0; // counts photos, so that one that arrives late replaces none
  }

  /**
   * Lay a photo beside the first; one that cannot be answered leaves everything as it was.
   *
   * @param {PickedPhoto | string} which a photo, or a sample's name
   */
  async open(which) {
    this.newest += 1;
    const mine = this.newest;
    showMessage("");
    this.root.setAttribute("aria-busy", "true");
    try {
      const picked = typeof which === "string" ? await sample(which) : which;
      const photo = await this.answered(picked);
      if (mine !== this.newest) return forget(photo);
      this.pair?.leave();
      this.pair = new Pair(photo, () => this.close());
      find(this.root, ".second").replaceChildren(this.pair.root);
      address.writeParameter("beside", typeof which === "string" ? which : null);
      this.follow();
    } catch (error) {
      if (mine === this.newest) showTrouble(error, () => this.open(which));
    } finally {
      if (mine === this.newest) this.root.removeAttribute("aria-busy");
    }
  }

  /**
   * The photo, once the service has answered it. Rejects with a Refusal that names it if the service cannot.
   *
   * @param {PickedPhoto} picked
   * @returns {Promise<Photo>}
   */
  async answered(picked) {
    const photo = taken(picked);
    const network = this.visit.view?.context.detail.network;
    try {
      const [{ image, model }] = await Promise.all([uploaded(photo, network).first, styled(import.meta.url, "beside.css")]);
      Object.assign(photo, { width: image.width, height: image.height });
      if (image.animated || !(await isShown(photo.url))) await standIn(photo, model.network, photo.leaving.signal);
      return photo;
    } catch (error) {
      forget(photo);
      throw error instanceof Refusal ? new Refusal(error.status, `${photo.name}: ${error.message}`) : error;
    }
  }

  /** Show of the second photo what is shown of the first. */
  follow() {
    const { view } = this.visit;
    if (view) this.pair?.follow(view).catch(showTrouble);
  }

  close() {
    this.newest += 1;
    this.pair?.leave();
    this.pair = null;
    find(this.root, ".second").replaceChildren();
    address.writeParameter("beside", null);
    find(this.root, "input").focus();
  }
}

/**
 * @param {string} name of a sample
 * @returns {Promise<PickedPhoto>}
 */
async function sample(name) {
  const response = await fetch(new URL(`web/samples/${name}.jpg`, document.baseURI)).catch(() => null);
  if (!response?.ok) throw new Refusal(0, "The sample photo could not be loaded from the service.");
  return { file: await response.blob(), name: `${name}.jpg` };
}

/**
 * Whether the browser can show the picture at this address.
 *
 * @param {string} src
 */
function isShown(src) {
  const image = new Image();
  image.src = src;
  return image.decode().then(
    () => true,
    () => false,
  );
}
