/** One class: its name and its photos, which can be taken out again. */
// @ts-check

import { el, speak } from "../basics/dom.js";
import { plural } from "../basics/format.js";
import { twice } from "./twice.js";

export const FEWEST = 5; // photos of a class; app/teach/photos.py holds to the same numbers
export const ENOUGH = 20;

/** @typedef {{ file: File, url: string, item: HTMLElement }} Shot `url` is revoked when the photo is taken out */

export class Column {
  /** @param {{ change: () => void, remove: (column: Column) => void, camera: (column: Column) => void }} on */
  constructor(on) {
    this.on = on;
    /** @type {Shot[]} */
    this.shots = [];
    this.input = el("input", { type: "text", maxlength: 60, spellcheck: "false", autocomplete: "off", oninput: on.change });
    this.said = el("p", { class: "quiet" });
    this.list = el("ul", { class: "shots", hidden: true });
    this.empty = el("p", { class: "hint" }, "Drop photos or a folder here");
    this.bar = el("span", { style: { width: 0 } });
    const picker = el("input", { type: "file", class: "hidden-input", accept: "image/*,.heic,.heif", multiple: true });
    picker.addEventListener("change", () => {
      const added = this.add([...(picker.files ?? [])]);
      speak(`${plural(added, "photo")} added to ${this.title}.`);
      picker.value = ""; // so that the same files can be picked again
    });
    this.picker = picker;
    this.shut = twice("×", "Remove?", () => this.on.remove(this), "Remove this class");
    this.shut.className = "shut";
    this.camera = el("button", { type: "button", onclick: () => on.camera(this) }, "Camera");
    this.root = el(
      "section",
      { class: "class-column", role: "group" },
      el("div", { class: "named" }, this.input, this.shut),
      el("div", { class: "filled" }, this.bar),
      this.said,
      el("div", { class: "well" }, this.empty, this.list),
      el("div", { class: "buttons" }, el("label", { class: "button" }, "Add photos", picker), this.camera),
    );
    this.list.addEventListener("keydown", (event) => this.key(event));
  }

  /** The name that is given. */
  get name() {
    return this.input.value.trim();
  }

  /** What to call it. */
  get title() {
    return this.name || `class ${this.number}`;
  }

  get isUntouched() {
    return !this.name && !this.shots.length;
  }

  /** Say what is in it. @param {number} number its place, from 1 */
  update(number) {
    const { length } = this.shots;
    this.number = number;
    this.root.ariaLabel = this.title;
    this.input.ariaLabel = `Name of class ${number}`;
    this.input.placeholder = `Name of class ${number}`;
    this.picker.ariaLabel = `Add photos to ${this.title}`;
    this.camera.ariaLabel = `Camera: take photos of ${this.title}`;
    this.said.textContent = `${plural(length, "photo")}${wanting(length)}`;
    this.bar.style.width = `${Math.min(100, (100 * length) / ENOUGH)}%`;
    this.bar.classList.toggle("few", length < FEWEST);
    this.list.hidden = !length;
    this.empty.hidden = length > 0;
    this.list.ariaLabel = `Photos of ${this.title}: arrow keys move, Delete takes one out`;
  }

  /**
   * Add photos, except those that are here already; returns how many were added.
   *
   * @param {File[]} files
   */
  add(files) {
    const here = new Set(this.shots.map(({ file }) => identity(file)));
    const added = files.filter((file) => !here.has(identity(file)));
    for (const file of added) {
      const url = URL.createObjectURL(file);
      const image = el("img", { src: url, alt: "", loading: "lazy", decoding: "async", title: file.name });
      const out = { type: "button", class: "out", tabindex: -1, "aria-label": `Take out ${file.name}` };
      const button = el("button", out, "×");
      const item = el("li", {}, image, button);
      image.addEventListener("error", () => image.replaceWith(el("span", { class: "unshown" }, file.name)));
      const shot = { file, url, item };
      button.addEventListener("click", () => this.take(shot));
      this.shots.push(shot);
      this.list.append(item);
    }
    this.list.querySelector("button")?.setAttribute("tabindex", "0");
    this.on.change();
    return added.length;
  }

  /** Take a photo out. @param {Shot} shot */
  take(shot) {
    const at = this.shots.indexOf(shot);
    const hadFocus = shot.item.contains(document.activeElement);
    URL.revokeObjectURL(shot.url);
    shot.item.remove();
    this.shots.splice(at, 1);
    this.on.change();
    speak(`${shot.file.name} is taken out, ${plural(this.shots.length, "photo")} left.`);
    const next = this.shots[Math.min(at, this.shots.length - 1)];
    if (next) this.reach(next, hadFocus);
    else if (hadFocus) this.picker.focus();
  }

  /** The list is one stop of the Tab key: there. @param {Shot} shot @param {boolean} focus */
  reach({ item }, focus) {
    for (const button of this.list.querySelectorAll("button")) button.tabIndex = item.contains(button) ? 0 : -1;
    if (focus) item.querySelector("button")?.focus();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const at = this.shots.findIndex(({ item }) => item.contains(document.activeElement));
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const shot = this.shots[at];
    if (!shot) return;
    if (event.key === "Delete" || event.key === "Backspace") this.take(shot);
    else if (by && this.shots[at + by]) this.reach(this.shots[at + by], true);
    else if (!by) return;
    event.preventDefault();
  }

  /** Free what it holds. */
  leave() {
    for (const { url } of this.shots) URL.revokeObjectURL(url);
    this.root.remove();
  }
}

/** @param {File} file */
const identity = ({ name, size, lastModified }) => `${name} ${size} ${lastModified}`;

/** @param {number} photos */
function wanting(photos) {
  if (photos < FEWEST) return `, ${FEWEST - photos} more needed`;
  return photos < ENOUGH ? `: enough to begin, ${ENOUGH} prove something` : "";
}
