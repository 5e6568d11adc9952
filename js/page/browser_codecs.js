/**
 * Compress an image with the browser's own WebP and JPEG encoders, to compare their bytes.
 *
 * This runs in a worker: outside of one, Chromium encodes when it is idle, which after a stroke may be never.
 */

import { toImageData } from "../images.js";
import { seenImage } from "./image_input.js";
import { bytesWithoutProfile } from "./colour_profile.js";
import { psnr } from "./measures.js";

/** @import { DecodedImage } from "../images.js" */

const FORMATS = { WebP: "image/webp", JPEG: "image/jpeg" };
const HIGHEST = 100;

/**
 * A file of another format. `chosen` says in words which quality it has.
 *
 * @typedef {{ format: string, bytes: number, psnr: number, chosen: string }} OtherFile
 *
 * @typedef {{ bytes: number, psnr: number, quality: number }} Encoded
 */

/**
 * Compress an image with each format, with the lowest quality whose PSNR is at least `wanted`. If even the
 * smallest file has that PSNR, it is the one; if no file has, the best one is.
 *
 * @param {DecodedImage} image
 * @param {number} wanted in dB
 * @returns {Promise<OtherFile[]>} without the formats that the browser does not write
 */
export async function compareFormats(image, wanted) {
  const pen = newPen(image);
  pen.putImageData(toImageData(image), 0, 0);
  const files = [];
  for (const [format, type] of Object.entries(FORMATS)) {
    const file = await lowestThatReaches(pen.canvas, image, type, wanted);
    if (file !== null) {
      files.push({ format, bytes: file.bytes, psnr: file.psnr, chosen: choiceOf(file, wanted) });
    }
  }
  return files;
}

/**
 * PSNR grows with the quality, except for small steps back, so halving the range finds the lowest quality or one
 * close to it.
 *
 * @param {OffscreenCanvas} canvas
 * @param {DecodedImage} image
 * @param {string} type
 * @param {number} wanted
 * @returns {Promise<Encoded | null>}
 */
async function lowestThatReaches(canvas, image, type, wanted) {
  let [low, high] = [0, HIGHEST];
  let best = await encode(canvas, image, type, HIGHEST);
  if (best === null || best.psnr < wanted) {
    return best;
  }
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const file = await encode(canvas, image, type, middle);
    if (file !== null && file.psnr >= wanted) {
      [best, high] = [file, middle];
    } else {
      low = middle + 1;
    }
  }
  return best;
}

/**
 * @param {OffscreenCanvas} canvas
 * @param {DecodedImage} image what it shows
 * @param {string} type
 * @param {number} quality 0 to 100
 * @returns {Promise<Encoded | null>} null if the browser does not write this format
 */
async function encode(canvas, image, type, quality) {
  const blob = await canvas.convertToBlob({ type, quality: quality / HIGHEST });
  if (blob.type !== type) {
    return null; // a PNG instead
  }
  const bitmap = await createImageBitmap(blob);
  const pen = newPen(image);
  pen.drawImage(bitmap, 0, 0);
  bitmap.close();
  const bytes = bytesWithoutProfile(new Uint8Array(await blob.arrayBuffer()));
  return { bytes, psnr: psnr(image, seenImage(pen, image)), quality };
}

/**
 * @param {Encoded} file
 * @param {number} wanted
 */
function choiceOf({ quality, psnr: reached }, wanted) {
  if (reached < wanted) {
    return `quality ${quality}, its best`;
  }
  return quality === 0 ? "its smallest file" : `quality ${quality}`;
}

/** @param {{ width: number, height: number }} size */
function newPen({ width, height }) {
  const canvas = new OffscreenCanvas(width, height);
  const pen = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  return /** @type {OffscreenCanvasRenderingContext2D} */ (pen);
}
