/** The lesson and the presentation are loaded when they are asked for: they are a fifth of the page, and most visitors look. */
// @ts-check

import * as address from "../address.js";
import { find } from "../basics/dom.js";

const learn = find(document, "[data-mode=learn]", HTMLAnchorElement);

if (address.parameter("present") !== null) import("./present.js");
if (address.parameter("lesson") !== null) import("./lesson.js");
else learn.addEventListener("click", enter);

/** The first click; later ones are the lesson's own. @param {MouseEvent} event */
async function enter(event) {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a link, after all
  event.preventDefault();
  learn.removeEventListener("click", enter);
  try {
    const { choose } = await import("./lesson.js");
    choose(1);
  } catch {
    location.assign(learn.href); // the page loads anew, and says what is wrong
  }
}
