/** A class of the answer on the page comes in; the evidence for it lies on the photo. */
// @ts-check

import { onPage, showEvidence } from "../acts/answer.js";
import * as api from "../api.js";
import { speak } from "../basics/dom.js";
import { label } from "../basics/words.js";
import { showTrouble } from "../message.js";

/** @import { Newest } from "../acts/answer.js" */

let asking = new AbortController();

/**
 * Ask for the evidence for a class, and show it unless another answer is on the page by then.
 *
 * @param {string} name
 * @param {Newest} answered
 */
export async function seek(name, answered) {
  asking.abort();
  asking = new AbortController();
  const { photo, prediction, edits, view } = answered;
  const query = { network: prediction.model.network, feature_maps: "none", heatmap_class: name, edits };
  try {
    const answer = await api.post("predict", query, photo, asking.signal);
    if (onPage() !== answered) return;
    showEvidence(answer, view);
    speak(`The evidence for ${label(name)} is shown.`);
  } catch (error) {
    showTrouble(error);
  }
}
