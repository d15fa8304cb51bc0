/** The act "Teach" is loaded when it is opened: ?teach in the address. The acts of the walk are away meanwhile. */
// @ts-check

import * as address from "../address.js";
import { showTrouble } from "../message.js";

/** @type {Promise<typeof import("./teach.js")> | null} */
let part = null;

const isOpen = () => address.parameter("teach") !== null;

/**
 * Follow the address and the links of the header. `list` asks anew which networks are served.
 *
 * @param {() => Promise<void>} list
 */
export function listen(list) {
  for (const link of document.querySelectorAll("a")) {
    const { mode } = link.dataset;
    if (!mode) continue;
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a link, after all
      if (mode === "teach" || isOpen()) event.preventDefault();
      if ((mode === "teach") !== isOpen()) go((mode === "teach" ? "?teach" : location.pathname) + location.hash);
    });
  }
  const follow = async () => {
    markMode();
    document.body.classList.toggle("teaching", isOpen());
    if (!isOpen() && !part) return;
    try {
      part ??= import("./teach.js");
      (await part).show(isOpen(), list);
    } catch (error) {
      part = null;
      showTrouble(error, follow);
    }
  };
  addEventListener("popstate", follow);
  follow();
}

/** Lead the page to another address of its own. @param {string} url */
export function go(url) {
  history.pushState(null, "", url);
  dispatchEvent(new PopStateEvent("popstate"));
}

/** Mark in the header which way the page is used. */
export function markMode() {
  const mode = ["teach", "lesson"].find((name) => address.parameter(name) !== null) ?? "look";
  for (const link of document.querySelectorAll("a"))
    if (link.dataset.mode) link.ariaCurrent = String(link.dataset.mode === mode.replace("lesson", "learn"));
}
