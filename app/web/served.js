/** What is served comes in; it is offered in the header, and said at the foot of the page. */
// @ts-check

import { $ } from "./basics/dom.js";
import { keeps, networkName } from "./basics/words.js";

/** @import { Networks } from "./types.js" */

/**
 * @param {Networks} served
 * @param {string | null} chosen the network that stays chosen, if it is served
 */
export function offer({ networks, kept }, chosen) {
  const names = networks.map(({ network }) => network);
  const options = names.map(
    (name) => new Option(networkName(name) === name ? name : `${networkName(name)} (${name})`, name),
  );
  const chooser = $("network", HTMLSelectElement);
  chooser.replaceChildren(...options);
  chooser.value = chosen ?? "";
  $("kept").textContent = keeps(kept);
  $("served").textContent = `Networks served here: ${names.join(", ")}.`;
}
