/** Show a result: pictures, figures, warnings, and the comparison with other formats. */

import { element } from "./elements.js";
import { show } from "./gallery.js";
import { contrastToError, enlargedDifference, psnr } from "./measures.js";

/** @import { OtherFile } from "./browser_codecs.js" */
/** @import { Coded, Description, Setting } from "./coding.js" */
/** @import { Item, Opened } from "./gallery.js" */
/** @import { DecodedImage } from "../images.js" */

const ORIGINAL = element("original", HTMLCanvasElement);
const RECONSTRUCTION = element("reconstruction", HTMLCanvasElement);
const DIFFERENCE = element("difference", HTMLCanvasElement);

/**
 * What is shown about an image that the page compressed.
 *
 * @typedef {object} Figures
 * @property {Item} item
 * @property {DecodedImage} original
 * @property {Coded} coded
 * @property {Setting} setting
 * @property {number} psnr in dB, infinite if no level differs
 * @property {string} warning empty if there is none
 */

/**
 * Measure an image and its reconstruction.
 *
 * @param {Item} item
 * @param {DecodedImage} original
 * @param {Coded} coded
 * @param {Setting} setting
 * @param {Description} bundle
 * @returns {Figures}
 */
export function figuresOf(item, original, coded, setting, { contrastFloors }) {
  const reached = psnr(original, coded.decoded);
  const floor = contrastFloors?.[coded.quality - 1];
  const isUnlike = floor !== undefined && contrastToError(original, coded.decoded) < floor;
  const warning = isUnlike
    ? `${item.name} decodes badly, with a PSNR of ${reached.toFixed(1)} dB; such images are not of the kind ` +
      "that the bundle was trained on."
    : "";
  return { item, original, coded, setting, psnr: reached, warning };
}

/**
 * Show an image before it is coded.
 *
 * @param {Item} item
 */
export function showItem({ name, original, note, kind, opened }) {
  if (original) {
    show(ORIGINAL, original);
  }
  element("result", HTMLElement).classList.toggle("drawing", kind === "drawing");
  element("result-title", HTMLElement).textContent = name;
  element("conversion", HTMLElement).textContent = note;
  element("original-caption", HTMLElement).textContent = kind === "drawing" ? "Draw here" : "Original";
  for (const id of ["original-figure", "difference-figure", "psnr-tile", "download"]) {
    element(id, HTMLElement).hidden = opened !== null;
  }
  element("comparison", HTMLElement).hidden = true;
  ORIGINAL.setAttribute("aria-label", `Original of ${name}`);
  RECONSTRUCTION.setAttribute("aria-label", `Reconstruction of ${name}`);
  DIFFERENCE.setAttribute("aria-label", `Difference between the reconstruction and the original of ${name}`);
  if (opened) {
    showOpened(opened);
  }
}

/** @param {Figures} figures */
export function showFigures({ original, coded, setting, psnr: reached, warning }) {
  clearFailure();
  show(RECONSTRUCTION, coded.decoded);
  show(DIFFERENCE, enlargedDifference(original, coded.decoded));
  const { length } = coded.content;
  put("bytes", `${length} B`, length);
  put("bytes-note", `as .fmae, from ${original.data.length.toLocaleString("en")} B of pixels`);
  put("psnr", inDecibels(reached), reached);
  put("chosen", String(coded.quality), coded.quality);
  put("chosen-note", "maxBytes" in setting ? `the best for ${setting.maxBytes} B` : "of 1 to 9");
  showWarning(warning);
}

/**
 * Show what the same image takes in other formats.
 *
 * @param {Figures} figures
 * @param {OtherFile[]} files
 */
export function showComparison({ coded, psnr: reached }, files) {
  const ours = {
    format: ".fmae",
    bytes: coded.content.length,
    psnr: reached,
    chosen: `quality ${coded.quality}`,
  };
  const rows = [ours, ...files].map(({ format, bytes, psnr: of, chosen }) => {
    const row = document.createElement("tr");
    row.dataset.format = format;
    const head = Object.assign(document.createElement("th"), { scope: "row", textContent: format });
    const cells = [bytes.toLocaleString("en"), inDecibels(of), chosen].map((textContent) => {
      return Object.assign(document.createElement("td"), { textContent });
    });
    row.append(head, ...cells);
    return row;
  });
  element("rows", HTMLElement).replaceChildren(...rows);
  element("comparison", HTMLElement).hidden = false;
}

/**
 * Return a result as sentences for a screen reader.
 *
 * @param {Figures} figures
 * @param {OtherFile[]} files
 * @returns {string}
 */
export function spoken({ item, coded, psnr: reached, warning }, files) {
  const others = files.map(({ format, bytes, psnr: of }) => `${format}: ${bytes} bytes, ${inDecibels(of)}.`);
  const { content, quality } = coded;
  const ours = `${item.name}: ${content.length} bytes with quality ${quality}, ${inDecibels(reached)}.`;
  return [ours, warning, ...others].filter(Boolean).join(" ");
}

/**
 * @param {Item} item
 * @param {Opened} opened
 * @returns {string}
 */
export function spokenOfOpened({ name }, { bytes, bytesNote }) {
  return `${name}: ${bytes} bytes ${bytesNote}.`;
}

/** @param {string} sentence */
export function say(sentence) {
  element("status", HTMLElement).textContent = sentence;
}

/**
 * Say why the image could not be coded, in place of the last result, which may be that of another image.
 *
 * @param {string} sentence
 */
export function showFailure(sentence) {
  element("failure", HTMLElement).textContent = sentence;
  element("result", HTMLElement).classList.toggle("failed", sentence !== "");
}

/** @param {boolean} isBusy */
export function showBusy(isBusy) {
  element("result", HTMLElement).setAttribute("aria-busy", String(isBusy));
}

/** @param {Opened} opened */
function showOpened({ image, quality, bytes, bytesNote }) {
  clearFailure();
  show(RECONSTRUCTION, image);
  put("bytes", `${bytes} B`, bytes);
  put("bytes-note", bytesNote);
  put("chosen", quality ? String(quality) : "lossless", quality);
  put("chosen-note", quality ? "of 1 to 9" : "every pixel as it was");
  showWarning("");
}

function clearFailure() {
  showFailure("");
}

/** @param {string} sentence */
function showWarning(sentence) {
  const warning = element("warning", HTMLElement);
  warning.textContent = sentence;
  warning.hidden = !sentence;
}

/**
 * @param {string} id
 * @param {string} text
 * @param {number} [value] the exact figure
 */
function put(id, text, value) {
  const place = element(id, HTMLElement);
  place.textContent = text;
  if (value !== undefined) {
    place.dataset.value = String(value);
  }
}

/** @param {number} ratio */
function inDecibels(ratio) {
  return ratio === Infinity ? "no pixel differs" : `${ratio.toFixed(2)} dB`;
}
