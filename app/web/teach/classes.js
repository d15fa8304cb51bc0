/** The columns: photos come in however they are given, and are sorted into classes; what is missing is said. */
// @ts-check

import { el, speak } from "../basics/dom.js";
import { plural } from "../basics/format.js";
import { showMessage, showTrouble } from "../message.js";
import { Column, ENOUGH, FEWEST } from "./column.js";
import { byClass, chosen, dropped } from "./files.js";

/** @import { PhotosOfClass } from "./types.js" */
/** @import { Found } from "./files.js" */

const MOST = 20; // classes

export class Classes {
  /** @param {() => void} onChange */
  constructor(onChange) {
    this.onChange = onChange;
    /** @type {Column[]} */
    this.columns = [];
    this.pasted = 0; // counts photos, for their names
    this.row = el("div", { class: "columns" });
    const folder = el("input", { type: "file", class: "hidden-input", webkitdirectory: true, multiple: true });
    folder.addEventListener("change", () => {
      this.take(chosen(folder.files ?? []), null);
      folder.value = "";
    });
    this.more = el("button", { type: "button", onclick: () => this.add().input.focus() }, "Add a class");
    const tools = el(
      "div",
      { class: "buttons" },
      this.more,
      el("label", { class: "button folders" }, "Choose a folder with a folder for each class", folder),
    );
    const hint = "Or drop folders anywhere: each becomes a class. What you paste goes into the class that you used last.";
    this.root = el("div", { class: "classes" }, this.row, tools, el("p", { class: "quiet" }, hint));
    /** @type {Column | null} where pasted and loose photos go */
    this.last = null;
    this.row.addEventListener("focusin", ({ target }) => {
      this.last = this.columns.find(({ root }) => target instanceof Node && root.contains(target)) ?? this.last;
    });
    this.listening = new AbortController();
  }

  /** Begin with two columns. */
  begin() {
    this.last = this.add();
    this.add();
  }

  /** Take what is dropped and pasted on the page, before the walk does, or no longer. @param {boolean} isOn */
  listen(isOn) {
    this.listening.abort();
    if (!isOn) return;
    this.listening = new AbortController();
    const options = { capture: true, signal: this.listening.signal };
    /** @param {DragEvent} event */
    const ours = (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return null;
      event.preventDefault();
      event.stopImmediatePropagation();
      return event.dataTransfer;
    };
    addEventListener("dragover", (event) => ours(event) && this.mark(event), options);
    addEventListener("dragleave", (event) => event.relatedTarget ?? this.mark(null), options);
    addEventListener(
      "drop",
      async (event) => {
        const transfer = ours(event);
        this.mark(null);
        if (!transfer) return;
        const column = this.under(event);
        try {
          this.take(await dropped(transfer), column);
        } catch {
          showMessage("The browser could not read what was dropped. Choose the photos instead.");
        }
      },
      options,
    );
    addEventListener(
      "paste",
      (event) => {
        const files = [...(event.clipboardData?.files ?? [])];
        if (!files.length) return;
        event.preventDefault();
        event.stopImmediatePropagation();
        this.take(
          files.map((file) => ({ file: this.renamed(file), folders: [] })),
          this.last,
        );
      },
      options,
    );
  }

  /** A pasted photo has no name of its own. @param {File} file */
  renamed(file) {
    this.pasted += 1;
    return new File([file], `pasted ${this.pasted}.${file.type.split("/")[1] ?? "png"}`, { type: file.type });
  }

  /** @param {DragEvent} event */
  under({ target }) {
    return this.columns.find(({ root }) => target instanceof Node && root.contains(target)) ?? null;
  }

  /** Mark the column that a drop would go to. @param {DragEvent | null} event */
  mark(event) {
    const over = event && this.under(event);
    for (const column of this.columns) column.root.classList.toggle("over", column === over);
    this.row.classList.toggle("over", Boolean(event) && !over);
  }

  /**
   * Sort files into the columns.
   *
   * @param {Found[]} found
   * @param {Column | null} column where they were dropped
   */
  take(found, column) {
    const { classes, loose, left } = byClass(found);
    let added = 0;
    const target = column ?? this.last ?? this.columns[0];
    if (loose.length) added += target.add(loose);
    for (const [name, files] of classes) {
      const isAlone = column && classes.size === 1;
      const home = isAlone ? column : this.home(name);
      if (!home) {
        showMessage(`There can be ${MOST} classes; the folder ${name} is left out.`);
        continue;
      }
      if (!home.name) home.input.value = name;
      added += home.add(files);
    }
    this.changed();
    const other = left ? ` ${plural(left, "file")} left out: no photos, or beside the folders.` : "";
    showMessage(other.trim(), "notice");
    speak(`${plural(added, "photo")} added.${other}`);
  }

  /** The column for a class of that name. @param {string} name */
  home(name) {
    const named = this.columns.find((column) => column.name === name);
    const free = this.columns.find((column) => column.isUntouched);
    return named ?? free ?? (this.columns.length < MOST ? this.add() : null);
  }

  add() {
    const column = new Column({
      change: () => this.changed(),
      remove: (one) => this.remove(one),
      camera: (one) => import("./camera.js").then(({ open }) => open(one, showMessage), showTrouble),
    });
    this.columns.push(column);
    this.row.append(column.root);
    this.changed();
    return column;
  }

  /** @param {Column} column */
  remove(column) {
    column.leave();
    this.columns = this.columns.filter((one) => one !== column);
    while (this.columns.length < 2) this.add();
    if (this.last === column) this.last = this.columns[0];
    this.changed();
    this.columns[0].input.focus();
    speak(`The class ${column.title} is removed.`);
  }

  changed() {
    for (const [i, column] of this.columns.entries()) column.update(i + 1);
    this.more.disabled = this.columns.length >= MOST;
    this.onChange();
  }

  /** @returns {PhotosOfClass[]} */
  photos() {
    return this.used().map(({ name, shots }) => ({ name, photos: shots.map(({ file }) => file) }));
  }

  /** The columns that count: an empty one beyond the second does not. */
  used() {
    const used = this.columns.filter((column) => !column.isUntouched);
    return used.length < 2 ? this.columns.slice(0, 2) : used;
  }

  /** What is missing before it can be taught, as a sentence; empty: nothing. */
  missing() {
    const used = this.used();
    if (used.every((column) => column.isUntouched)) {
      return `${FEWEST} photos of each class at least; ${ENOUGH} prove something.`;
    }
    const nameless = used.find(({ name }) => !name);
    if (nameless) return `Class ${nameless.number} needs a name.`;
    const odd = used.find(({ name }) => /["\\/]/.test(name));
    if (odd) return `The name ${odd.name} cannot be sent: it has a slash or a quotation mark in it.`;
    const names = used.map(({ name }) => name.toLowerCase());
    const twice = used.find(({ name }, i) => names.indexOf(name.toLowerCase()) !== i);
    if (twice) return `Two classes are called ${twice.name}.`;
    const few = used.filter(({ shots }) => shots.length < FEWEST);
    if (few.length) {
      const counts = few.map(({ name, shots }) => `${FEWEST - shots.length} more of ${name}`).join(", ");
      return `Missing: ${counts}. ${FEWEST} photos of each class at least; ${ENOUGH} prove something.`;
    }
    return "";
  }

  /** What would be better, as a sentence. */
  advice() {
    const few = this.used().filter(({ shots }) => shots.length < ENOUGH);
    const names = few.map(({ name }) => name).join(", ");
    return few.length ? `Ready. With ${ENOUGH} photos it would prove more: ${names}.` : "Ready.";
  }

  /** Lead to the first column that lacks something. */
  show() {
    const lacking = this.used().find(({ name, shots }) => !name || shots.length < FEWEST) ?? this.columns[0];
    (lacking.name ? lacking.picker : lacking.input).focus();
  }
}
