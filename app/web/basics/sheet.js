/** Style sheets that are loaded with what they are for. */
// @ts-check

import { el } from "./dom.js";

/**
 * Load a style sheet, once; resolves when it is there, or when it is known that it will not be: plain, all can still be read.
 *
 * @param {string} module the address of the module that it lies beside
 * @param {string} name
 */
export function styled(module, name) {
  const { href } = new URL(name, module);
  if (document.querySelector(`link[href="${CSS.escape(href)}"]`)) return undefined;
  const sheet = el("link", { rel: "stylesheet", href });
  document.head.append(sheet);
  return new Promise((resolve) => {
    for (const event of ["load", "error"]) sheet.addEventListener(event, resolve);
  });
}
