/** Turn image files into images of the bundle's size, as the command line does with `--fit crop`. */

import { InputError } from "../errors.js";
import { toImages, toPlanes } from "../images.js";

/** @import { DecodedImage, ImageSize } from "../images.js" */

const SUFFIX = /\.[^.]*$/;

/**
 * An image of the bundle's size. `note` says how it was changed, and is empty if it was not.
 *
 * @typedef {{ image: DecodedImage, note: string }} InputImage
 */

/**
 * Read an image file. One of another size is scaled to cover that of the bundle, and its centre is cut out.
 * Transparent parts become black.
 *
 * @param {Blob} file
 * @param {ImageSize} size
 * @returns {Promise<InputImage>}
 * @throws {InputError} if the browser cannot decode it
 */
export async function readImage(file, size) {
  let bitmap;
  try {
    // Levels as they are in the file: profiles and gamma would change them
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    throw new InputError("this browser cannot read it as an image");
  }
  const { width, height } = bitmap;
  const scale = Math.max(size.width / width, size.height / height);
  const pen = newPen(size);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(
    bitmap,
    (size.width - width * scale) / 2,
    (size.height - height * scale) / 2,
    width * scale,
    height * scale,
  );
  bitmap.close();
  return { image: seenImage(pen, size), note: noteOf(width, height, size) };
}

/**
 * Return the context of a new black canvas that is read often.
 *
 * @param {{ width: number, height: number }} size
 * @returns {CanvasRenderingContext2D}
 */
export function newPen({ width, height }) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  return penOf(canvas);
}

/**
 * Return the context of a canvas that is read often and has no transparent parts.
 *
 * @param {HTMLCanvasElement} canvas
 * @returns {CanvasRenderingContext2D}
 */
export function penOf(canvas) {
  const pen = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  return /** @type {CanvasRenderingContext2D} */ (pen);
}

/**
 * Return what the codec sees on a canvas of the bundle's size: gray levels if the bundle is gray.
 *
 * @param {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} pen
 * @param {ImageSize} size
 * @returns {DecodedImage}
 */
export function seenImage(pen, size) {
  return toImages(toPlanes([pen.getImageData(0, 0, size.width, size.height)], size), size)[0];
}

/**
 * Return the name of a file without its suffix.
 *
 * @param {string} name
 * @returns {string}
 */
export function stemOf(name) {
  return name.replace(SUFFIX, "") || name;
}

/**
 * @param {number} width
 * @param {number} height
 * @param {ImageSize} size
 */
function noteOf(width, height, size) {
  if (width === size.width && height === size.height) {
    return "";
  }
  const isCut = width * size.height !== height * size.width;
  const scaled = `${width}×${height} pixels, scaled to ${size.width}×${size.height}`;
  return isCut ? `${scaled}; the edges are cut off` : scaled;
}
