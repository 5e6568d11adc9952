/** The list of images to choose from. */

import { toImageData } from "../images.js";
import { element } from "./elements.js";

/** @import { DecodedImage } from "../images.js" */

const LARGE = 160; // pixels: wider images are not enlarged so much that their pixels become visible

/**
 * An image that a .fmae file contains: its payload has that many bytes.
 *
 * @typedef {{ image: DecodedImage, quality: number, bytes: number, bytesNote: string }} Opened
 *
 * An image of the page. `original` is null if it comes from a .fmae file, and `opened` if it does not. `note` says
 * how the image was changed.
 *
 * @typedef {object} Item
 * @property {string} name
 * @property {DecodedImage | null} original
 * @property {string} note
 * @property {"example" | "input" | "drawing" | "opened"} kind
 * @property {Opened | null} opened
 */

/** Shows one button per item, and calls `onChoice` with the item of a button that is pressed. */
export class Gallery {
  /** @param {(item: Item) => void} onChoice */
  constructor(onChoice) {
    this.onChoice = onChoice;
    this.list = element("gallery", HTMLUListElement);
    /** @type {Map<Item, HTMLButtonElement>} */
    this.buttons = new Map();
  }

  /** @param {Item} item */
  add(item) {
    const button = Object.assign(document.createElement("button"), { type: "button", title: item.name });
    button.setAttribute("aria-label", item.name);
    button.setAttribute("aria-pressed", "false");
    button.append(document.createElement("canvas"));
    button.addEventListener("click", () => this.onChoice(item));
    const row = document.createElement("li");
    row.append(button);
    this.list.append(row);
    this.buttons.set(item, button);
    this.draw(item);
  }

  /**
   * Draw the picture of an item again.
   *
   * @param {Item} item
   */
  draw(item) {
    const canvas = this.buttons.get(item)?.querySelector("canvas");
    const image = item.original ?? item.opened?.image;
    if (canvas && image) {
      show(canvas, image);
    }
  }

  /** @param {Item} chosen */
  mark(chosen) {
    for (const [item, button] of this.buttons) {
      button.setAttribute("aria-pressed", String(item === chosen));
    }
    this.buttons.get(chosen)?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
}

/**
 * Draw an image on a canvas, pixel by pixel.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {DecodedImage} image
 */
export function show(canvas, image) {
  if (canvas.width !== image.width || canvas.height !== image.height) {
    Object.assign(canvas, { width: image.width, height: image.height });
  }
  canvas.classList.toggle("large", image.width > LARGE);
  canvas.getContext("2d")?.putImageData(toImageData(image), 0, 0);
}
