/**
 * Surgery: what the visitor changes in the network travels with every question about the photo, and the answer moves at once.
 * The service stores nothing of it.
 */
// @ts-check

import * as answer from "../acts/answer.js";
import * as ribbon from "../acts/ribbon.js";
import * as api from "../api.js";
import { $, find, onShortcut } from "../basics/dom.js";
import { mainClass } from "../basics/words.js";
import { showMessage, showTrouble } from "../message.js";
import { Bar } from "./bar.js";
import { Edits } from "./edits.js";
import { refresh } from "./refresh.js";
import { Tools } from "./tools.js";

/** @import { NetworkDetail, Photo, Position, Prediction, StageAnswer } from "../types.js" */
/** @import { StageView } from "../stage/stage.js" */
/** @import { Cells } from "../stage/units.js" */

/**
 * @typedef {object} Visit the visitor's photo and where they are
 * @property {Photo | null} photo
 * @property {Position} position
 * @property {number} opacity
 * @property {StageView | null} view
 */

/**
 * @typedef {object} Patient what the changes are compared with
 * @property {Photo} photo
 * @property {NetworkDetail} detail
 * @property {Prediction} own the network's own answer
 * @property {AbortSignal} signal ends all requests about the photo
 */

export class Surgery {
  /** @param {Visit} visit as it is whenever something is changed */
  constructor(visit) {
    this.visit = visit;
    this.edits = new Edits();
    this.network = "";
    /** @type {Patient | null} null until the network has answered */
    this.patient = null;
    /** @type {Tools | null} of the open stage */
    this.tools = null;
    /** @type {Map<string, Cells>} filters as the network learned them, by stage and channel */
    this.filters = new Map();
    this.asking = new AbortController(); // aborts what is asked about earlier changes
    this.isEditing = false; // whether the cells of filters are inputs
    this.seed = 1; // of the next random filter
    this.bar = new Bar(this.edits, {
      undo: () => this.change((edits) => edits.undo()),
      redo: () => this.change((edits) => edits.redo()),
      reset: () => this.change((edits) => edits.reset()),
    });
    onShortcut(({ key, altKey }) => key === "m" && !altKey && this.tools?.muteOne());
  }

  /**
   * A photo is asked about; the changes stay, unless they belong to another network.
   *
   * @param {string} network
   */
  begin(network) {
    this.asking.abort();
    this.tools?.stop();
    this.tools = null;
    this.patient = null;
    if (network !== this.network) {
      this.edits.reset();
      this.filters.clear();
    }
    this.network = network;
    this.bar.root.inert = true;
    this.bar.root.removeAttribute("aria-busy");
    this.bar.count();
  }

  /**
   * The network has answered as it is: show what it says with the changes, if there are any.
   *
   * @param {Patient} patient
   */
  async follow(patient) {
    this.patient = patient;
    if (this.edits.count) this.show(await this.predict(patient, patient.signal));
  }

  /**
   * What is there to change in a stage that is opened.
   *
   * @param {StageView} view
   * @param {StageAnswer} layer
   */
  open(view, layer) {
    this.tools?.stop();
    this.tools = new Tools(view, layer, this);
    this.bar.root.inert = false;
    return this.tools.root;
  }

  /**
   * Change the network and show what it says: the answer first, then the open stage, then the ribbon.
   *
   * @param {(edits: Edits) => void} how
   */
  async change(how) {
    how(this.edits);
    this.asking.abort();
    this.asking = new AbortController();
    this.bar.count();
    this.tools?.update();
    this.tools?.effects.expire();
    const { patient, visit } = this;
    if (!patient) return;
    const signal = AbortSignal.any([patient.signal, this.asking.signal]);
    this.bar.root.setAttribute("aria-busy", "true");
    try {
      this.show(await this.predict(patient, signal));
      if (!visit.view) return;
      await refresh(visit.view, visit.position);
      signal.throwIfAborted();
      await this.showRibbon(patient, visit.view, signal);
    } catch (error) {
      this.fail(error);
    } finally {
      if (!signal.aborted) this.bar.root.removeAttribute("aria-busy");
    }
  }

  /**
   * The filter of a channel as the network learned it: what the service shows of it while it is not changed.
   *
   * @param {string} stage
   * @param {number} channel
   * @param {Cells} shown
   * @param {boolean} isChanged
   */
  learned(stage, channel, shown, isChanged) {
    const key = `${stage} ${channel}`;
    const known = this.filters.get(key);
    if (known) return known;
    if (!isChanged) this.filters.set(key, shown);
    return shown;
  }

  /**
   * What is refused is taken back: the network is then as it was before.
   *
   * @param {unknown} error
   */
  fail(error) {
    if (api.superseded(error)) return;
    showTrouble(error);
    if (!(error instanceof api.Refusal) || error.status !== 422) return;
    this.edits.takeBack();
    this.bar.count();
    this.tools?.update();
  }

  /**
   * @param {Patient} patient
   * @param {AbortSignal} signal
   */
  async predict({ photo, detail, own }, signal) {
    const edits = this.edits.text();
    const query = { network: detail.network, feature_maps: "none", heatmap: "true", edits };
    const said = edits ? { ...(await api.post("predict", query, photo, signal)), image: own.image } : own;
    find($("curl-predict"), "code").textContent = api.curl("predict", query, photo);
    return said;
  }

  /** @param {Prediction} said */
  show(said) {
    const { patient, visit, edits } = this;
    if (!patient) return;
    const { photo, own, detail } = patient;
    const main = mainClass(own);
    showMessage("");
    answer.show(said, { photo, view: visit, band: detail.unsure, own: edits.count ? own : null, edits: edits.text() });
    this.bar.show(said.probabilities[main], own.probabilities[main]);
  }

  /**
   * @param {Patient} patient
   * @param {StageView} view
   * @param {AbortSignal} signal
   */
  async showRibbon({ photo, detail }, view, signal) {
    const query = { network: detail.network, edits: this.edits.text() };
    const prediction = await api.post("predict", query, photo, signal);
    view.context.prediction = prediction;
    const { scrollLeft } = $("ribbon");
    ribbon.draw(detail, prediction, photo, view.on.open);
    $("ribbon").scrollLeft = scrollLeft;
    if (view.layer) ribbon.mark(view.layer.name, "auto");
  }
}
