/** The sliders: a quality, or a budget of bytes. Moving one chooses it. */

import { element } from "./elements.js";

/** @import { Setting } from "./coding.js" */

/** Calls `onChange` when the setting changes. */
export class Settings {
  /** @param {() => void} onChange */
  constructor(onChange) {
    this.quality = element("quality", HTMLInputElement);
    this.budget = element("budget", HTMLInputElement);
    this.byQuality = element("by-quality", HTMLInputElement);
    this.byBytes = element("by-bytes", HTMLInputElement);
    for (const [slider, radio] of [
      [this.quality, this.byQuality],
      [this.budget, this.byBytes],
    ]) {
      slider.addEventListener("input", () => {
        radio.checked = true;
        this.#show();
        onChange();
      });
      radio.addEventListener("change", onChange);
    }
    element("settings", HTMLFormElement).addEventListener("submit", (event) => event.preventDefault());
    this.#show();
  }

  /** @returns {Setting} */
  get setting() {
    return this.isByBytes
      ? { maxBytes: Number(this.budget.value) }
      : { quality: Number(this.quality.value) };
  }

  get isByBytes() {
    return this.byBytes.checked;
  }

  /**
   * Let the budget go from the fewest bytes that an image can take to those that it can use.
   *
   * @param {number} fewest
   * @param {number} most
   */
  limitBudget(fewest, most) {
    this.budget.min = String(fewest);
    this.budget.max = String(Math.max(most, fewest));
    if (!this.isByBytes) {
      this.budget.value = String(Math.round((fewest + most) / 2));
    }
    this.#show();
  }

  /** @param {boolean} isEnabled */
  enable(isEnabled) {
    element("setting", HTMLFieldSetElement).disabled = !isEnabled;
  }

  #show() {
    element("quality-value", HTMLOutputElement).value = this.quality.value;
    element("budget-value", HTMLOutputElement).value = `${this.budget.value} B`;
    this.budget.setAttribute("aria-valuetext", `${this.budget.value} bytes`);
  }
}
