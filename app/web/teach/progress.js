/** How far a job is: on its way, waiting, being taught. Spoken at its quarters. */
// @ts-check

import { el, speak } from "../basics/dom.js";

export class Progress {
  /** @param {() => void} onCancel */
  constructor(onCancel) {
    this.spoken = "";
    this.bar = el("span", { style: { width: 0 } });
    this.meter = el("div", { class: "meter", role: "progressbar", "aria-label": "Teaching", "aria-valuemin": 0 }, this.bar);
    this.meter.ariaValueMax = "100";
    this.said = el("p");
    this.cancel = el("button", { type: "button", onclick: onCancel }, "Cancel");
    this.root = el("div", { class: "progress", hidden: true }, this.said, this.meter, this.cancel);
  }

  /**
   * @param {string} what is being done
   * @param {number | null} share 0..1; null: not known
   */
  show(what, share) {
    const percent = share === null ? null : Math.round(100 * share);
    this.root.hidden = false;
    this.bar.style.width = `${percent ?? 0}%`;
    this.meter.ariaValueNow = percent === null ? null : String(percent);
    this.meter.ariaValueText = percent === null ? what : `${what}: ${percent} %`;
    this.said.textContent = percent === null ? `${what} …` : `${what}: ${percent} %`;
    const quarter = percent === null ? what : `${what}: ${25 * Math.floor(percent / 25)} %`;
    if (quarter !== this.spoken) speak(quarter);
    this.spoken = quarter;
  }

  hide() {
    this.root.hidden = true;
    this.spoken = "";
  }
}
