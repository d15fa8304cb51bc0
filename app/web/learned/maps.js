/** A stage's strongest channels as the service drew them come in; a small figure for each goes out. */
// @ts-check

import { el } from "../basics/dom.js";
import { number } from "../basics/format.js";

/** @import { FeatureMapAnswer } from "../types.js" */

/** @param {FeatureMapAnswer} stage */
export function maps({ shape, min, channels }) {
  const isPicture = shape.length === 3;
  return channels.map(({ index, peak, thumbnail }) => {
    const name = `${isPicture ? "channel" : "unit"} ${index}`;
    return el(
      "figure",
      { class: "map" },
      el("img", { src: thumbnail, alt: "", class: min < 0 ? "signed" : null }),
      el("figcaption", { "data-value": peak }, name, el("br"), `${isPicture ? "peak " : ""}${number(peak)}`),
    );
  });
}
