/** Finding and making elements. */
// @ts-check

/**
 * @typedef {Record<string, string | number>} Style
 * @typedef {string | Node | null | undefined | false} Child
 */

/**
 * @typedef {object} Listeners
 * @property {(event: PointerEvent) => unknown} [onclick]
 * @property {(event: Event) => unknown} [onchange]
 * @property {(event: Event) => unknown} [oninput]
 * @property {(event: Event) => unknown} [ontoggle]
 * @property {(event: KeyboardEvent) => unknown} [onkeydown]
 * @property {(event: PointerEvent) => unknown} [onpointermove]
 * @property {(event: PointerEvent) => unknown} [onpointerleave]
 */

/**
 * Attributes by name, listeners by `on` and the event, and `style`.
 *
 * @typedef {Listeners & { style?: Style, [name: string]: string | number | boolean | null | undefined | Style | Listeners[keyof Listeners] }} Properties
 */

/**
 * The element with that id.
 *
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @param {new () => T} [type] what kind of element it has to be
 * @returns {T}
 */
export function $(id, type) {
  return checked(document.getElementById(id), `#${id}`, type);
}

/**
 * The first element inside `root` that matches a selector.
 *
 * @template {HTMLElement} [T=HTMLElement]
 * @param {ParentNode} root
 * @param {string} selector
 * @param {new () => T} [type] what kind of element it has to be
 * @returns {T}
 */
export function find(root, selector, type) {
  return checked(root.querySelector(selector), selector, type);
}

/**
 * @template {HTMLElement} T
 * @param {Element | null} element
 * @param {string} name
 * @param {new () => T} [type]
 * @returns {T}
 */
function checked(element, name, type) {
  if (!(element instanceof (type ?? HTMLElement)))
    throw new TypeError(`The page has no ${type?.name ?? "element"} ${name}.`);
  return /** @type {T} */ (element);
}

/**
 * A new HTML element: el("button", {class: "x", onclick: f}, child, ...). Attributes and children that are null, undefined or
 * false are left out; lists of children are flattened.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Properties} [properties]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function el(tag, properties = {}, ...children) {
  return filled(document.createElement(tag), properties, children);
}

/**
 * A new SVG element, made like `el`.
 *
 * @template {keyof SVGElementTagNameMap} T
 * @param {T} tag
 * @param {Properties} [properties]
 * @param {...(Child | Child[])} children
 * @returns {SVGElementTagNameMap[T]}
 */
export function svg(tag, properties = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), properties, children);
}

/**
 * @template {HTMLElement | SVGElement} T
 * @param {T} node
 * @param {Properties} properties
 * @param {(Child | Child[])[]} children
 * @returns {T}
 */
function filled(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (typeof value === "object")
      for (const [key, part] of Object.entries(value)) node.style.setProperty(key, String(part));
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat()) if (child !== null && child !== undefined && child !== false) node.append(child);
  return node;
}

/**
 * Have screen readers announce a sentence after what they are reading.
 *
 * @param {string} sentence
 */
export function speak(sentence) {
  $("spoken").textContent = sentence;
}

/**
 * What belongs to the previous photo stays where it is, so that the page does not jump, but fades and cannot be used.
 *
 * @param {HTMLElement} act
 * @param {boolean} stale
 */
export function fade(act, stale) {
  act.inert = stale;
  act.classList.toggle("stale", stale);
}

/**
 * Listen to keys pressed anywhere on the page, but for those that are typed into a field, are in a dialog or in the act
 * "Teach", or belong to the browser.
 *
 * @param {(event: KeyboardEvent) => void} listener
 */
export function onShortcut(listener) {
  addEventListener("keydown", (event) => {
    const isTyping = event.target instanceof Element && event.target.closest("input, select, textarea, dialog, .teaching");
    if (!isTyping && !event.ctrlKey && !event.metaKey) listener(event);
  });
}
