/**
 * The second photo: what the chosen network says of it, and the same channel of the same stage with the same crosshair, beside the
 * first photo's number there.
 */
// @ts-check

import * as api from "../api.js";
import { el, speak } from "../basics/dom.js";
import { percent } from "../basics/format.js";
import { styled } from "../basics/sheet.js";
import { channel as channelName, mainClass, networkName, shortVerdict, verdict } from "../basics/words.js";
import { framed, outline, overlay, seen } from "../stage/outline.js";
import { decode } from "../stage/pick.js";
import { forget, standIn, taken, uploaded } from "../upload.js";
import { ChannelMap } from "./map.js";

/** @import { PickedPhoto, Photo } from "../types.js" */
/** @import { StageView } from "../stage/stage.js" */
/** @import { Shown } from "./map.js" */

/**
 * A photo to lie beside the one of the view, once the service has answered it. Rejects for a file that it cannot answer.
 *
 * @param {PickedPhoto} picked
 * @param {StageView} view
 * @param {() => void} close
 */
export async function secondOf(picked, view, close) {
  const photo = taken(picked);
  try {
    const [{ image }] = await Promise.all([
      uploaded(photo, view.context.detail.network).first,
      styled(import.meta.url, "beside.css"),
    ]);
    Object.assign(photo, { width: image.width, height: image.height });
    return new Second(photo, close);
  } catch (error) {
    forget(photo);
    throw error;
  }
}

export class Second {
  /**
   * @param {Photo} photo
   * @param {() => void} close
   */
  constructor(photo, close) {
    this.photo = photo;
    this.asking = new AbortController();
    this.answered = ""; // the question that is answered
    /** @type {{ key: string, shown: Shown } | null} the newest channel, and the question that it answers */
    this.newest = null;
    this.says = el("p", { class: "says-second" });
    this.where = el("p", { class: "readout" });
    this.first = new ChannelMap("the first photo");
    this.second = new ChannelMap(photo.name);
    this.image = el("img", { src: photo.url, alt: "" });
    this.outlined = overlay([1, 1]);
    this.held = el("div", { class: "held", style: framed(photo) }, this.image, this.outlined);
    const onPhoto = el("figure", {}, this.held, el("figcaption", {}, photo.name));
    this.maps = el("div", { class: "pair" }, this.first.root, this.second.root, onPhoto);
    const shut = el("button", { type: "button", onclick: close }, "Take it away");
    this.root = el("div", { class: "stage" }, this.says, this.where, this.maps, shut);
  }

  /** Stop asking, and free the photo. */
  leave() {
    this.asking.abort();
    forget(this.photo);
  }

  /**
   * Show what the view shows of the first photo: its network, its changes, its stage, channel and crosshair. Rejects with an
   * AbortError when it shows something else meanwhile.
   *
   * @param {StageView} view
   */
  async follow(view) {
    const { detail, surgery } = view.context;
    this.asking.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    const query = { network: detail.network, edits: surgery.edits.text() };
    this.root.setAttribute("aria-busy", "true");
    try {
      await this.answer(query, signal);
      await this.channel(view, query, signal);
    } finally {
      if (!signal.aborted) this.root.removeAttribute("aria-busy");
    }
  }

  /**
   * @param {{ network: string, edits: string | null }} query
   * @param {AbortSignal} signal
   */
  async answer(query, signal) {
    const key = JSON.stringify(query);
    if (this.answered === key) return;
    await uploaded(this.photo, query.network).inputs; // from here on a small file stands for the photo
    const answer = await api.post("predict", { ...query, feature_maps: "none" }, this.photo, signal);
    this.answered = key;
    const main = mainClass(answer);
    const probability = answer.probabilities[main];
    const changed = query.edits ? " with your changes" : "";
    this.says.dataset.value = String(probability);
    this.says.replaceChildren(
      el("strong", {}, verdict(answer.verdict)),
      ` ${percent(probability)} ${shortVerdict(main)}, says ${networkName(query.network)}${changed}.`,
    );
    speak(`${this.photo.name}: ${this.says.textContent}`);
    await this.draw(query.network, signal);
  }

  /**
   * Browsers do not show every format: the network's input then stands in for the photo.
   *
   * @param {string} network
   * @param {AbortSignal} signal
   */
  async draw(network, signal) {
    const isShown = await this.image.decode().then(
      () => true,
      () => false,
    );
    if (!isShown) this.image.src = await standIn(this.photo, network, signal);
  }

  /**
   * @param {StageView} view
   * @param {{ network: string, edits: string | null }} query
   * @param {AbortSignal} signal
   */
  async channel(view, query, signal) {
    const { layer, shown, unit } = view;
    this.maps.hidden = this.where.hidden = !layer || !shown;
    if (!layer || !shown) return;
    const { detail } = view.context;
    const asked = { ...query, stage: layer.name, channel: shown.plane.index, sheet: false };
    const key = JSON.stringify(asked);
    if (this.newest?.key !== key) {
      const { plane, scale } = await api.post("explain/stage", asked, this.photo, signal);
      if (!plane?.values) throw new TypeError(`The answer about ${layer.name} has no values.`);
      this.newest = { key, shown: { plane, scale, values: decode(plane.values) } };
    }
    this.first.draw(shown, layer.shape);
    this.second.draw(this.newest.shown, layer.shape);
    for (const map of [this.first, this.second]) map.mark(unit);
    this.outlined.setAttribute("viewBox", `0 0 ${detail.input_shape[1]} ${detail.input_shape[0]}`);
    outline(this.outlined, seen(layer.receptive_field, unit.row, unit.column), detail.input_shape);
    const { index } = shown.plane;
    const isPicture = layer.shape.length === 3;
    this.where.textContent = isPicture
      ? `${layer.name}, ${channelName(layer.name, index)}, row ${unit.row}, column ${unit.column}`
      : `${layer.name}, number ${index}`;
  }
}
