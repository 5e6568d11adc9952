/** Code the chosen image whenever it or the setting changes, then compare it with other formats. */

import { ArgumentError, FmaeError } from "../errors.js";
import { latest } from "./latest.js";
import * as results from "./results.js";

/** @import { Description } from "./coding.js" */
/** @import { Item } from "./gallery.js" */
/** @import { RemoteCoding } from "./remote_coding.js" */
/** @import { Figures } from "./results.js" */
/** @import { Settings } from "./settings.js" */

const PAUSE = 200; // ms without a change, until an image is compared: a stroke changes it many times a second

/** Shows one item at a time. */
export class Viewer {
  /**
   * @param {RemoteCoding} coding
   * @param {Description} bundle
   * @param {Settings} settings
   */
  constructor(coding, bundle, settings) {
    this.coding = coding;
    this.bundle = bundle;
    this.settings = settings;
    /** @type {Item | null} */
    this.item = null;
    /** @type {Figures | null} */
    this.figures = null; // of the item, if it could be coded
    /** @type {Figures | null} */
    this.limited = null; // what the budget's slider was fitted to
    this.pause = 0;
    /** Code the item again, because it or the setting has changed. */
    this.update = latest(() => this.#code());
    this.compare = latest(() => this.#compare());
  }

  /**
   * @param {Item} item
   * @returns {Promise<void>} resolved when it is shown
   */
  show(item) {
    this.item = item;
    this.figures = null;
    results.showItem(item);
    this.settings.enable(item.opened === null);
    return this.update();
  }

  async #code() {
    const { item } = this;
    window.clearTimeout(this.pause);
    if (item?.opened) {
      results.say(results.spokenOfOpened(item, item.opened));
    }
    if (!item?.original) {
      return;
    }
    const { original } = item; // a stroke replaces it
    results.showBusy(true);
    try {
      const { setting } = this.settings;
      const coded = await this.coding.code(original, setting);
      if (item === this.item) {
        this.figures = results.figuresOf(item, original, coded, setting, this.bundle);
        results.showFigures(this.figures);
        this.pause = window.setTimeout(() => this.compare(), PAUSE);
      }
    } catch (error) {
      const sentence = sentenceOf(error);
      if (item === this.item) {
        this.figures = null;
        results.showFailure(sentence);
      }
    } finally {
      results.showBusy(false);
    }
  }

  async #compare() {
    const { figures } = this;
    if (figures === null) {
      return;
    }
    const files = await this.coding.compareFormats(figures.original, figures.psnr);
    if (figures === this.figures) {
      results.showComparison(figures, files);
      results.say(results.spoken(figures, files));
      await this.#limitBudget(figures);
    }
  }

  /** @param {Figures} figures */
  async #limitBudget(figures) {
    const { item, original } = figures;
    // The slider must not change while a person moves it
    const isUsed = this.limited?.item === item && this.settings.isByBytes;
    if (this.limited?.original !== original && !isUsed) {
      const [fewest, most] = await this.coding.extremes(original);
      if (this.item === item) {
        this.settings.limitBudget(fewest, most);
        this.limited = figures;
      }
    }
  }
}

/**
 * Return the sentence of an error for the page.
 *
 * @param {unknown} error
 * @returns {string}
 * @throws if it is not an error of fmae-edge
 */
export function sentenceOf(error) {
  if (error instanceof ArgumentError && error.argument === "maxBytes") {
    return `The byte budget ${error.problem}`;
  }
  if (error instanceof FmaeError) {
    return error.message;
  }
  throw error;
}
