/** Elements are made here. */

const SVG = new Set(["svg", "rect", "path", "line"]);

/**
 * An element: el("button", {class: "x", onclick: f}, child, ...). Properties are attributes, but for functions, which are
 * listeners, and `style`, an object. Attributes and children that are null, undefined or false are left out.
 */
export function el(tag, properties = {}, ...children) {
  const node = SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, v] of Object.entries(value)) node.style.setProperty(key, v);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Let screen readers say a sentence when they are done with what they say. */
export function speak(sentence) {
  $("spoken").textContent = sentence;
}

/** The element with that id. */
export const $ = (id) => document.getElementById(id);
