/** Guarantee a PSNR: for each image the lowest quality that reaches it, else every pixel. */

import { QUALITIES } from "./arguments.js";
import { encodeLossless } from "./format/lossless.js";
import { toImages, toPlanes } from "./images.js";

/** @import { ImageLike, ImageSize } from "./images.js" */
/** @import { LatentCoder } from "./latent_coder.js" */

const LOSSLESS = 0; // in place of a quality

/**
 * Return the quality and the payload of each image. Each decoded image has at least `minPsnr` dB, as `coder`
 * decodes it; quality 0 is a lossless image.
 *
 * @param {LatentCoder} coder
 * @param {readonly ImageLike[]} images that were checked
 * @param {number} minPsnr in dB
 * @returns {Promise<{ quality: number, payload: Uint8Array }[]>}
 */
export async function reachMinPsnr(coder, images, minPsnr) {
  /** @type {Map<number, { quality: number, payload: Uint8Array }>} */
  const found = new Map();
  // Otherwise only an image without any error would do, which a graph returns only by chance
  if (psnrOf(1, coder.pixels) >= minPsnr) {
    const latents = await coder.latents(images);
    let left = images.map((_, number) => number);
    for (let quality = 1; quality <= QUALITIES && left.length > 0; quality++) {
      const symbols = left.map((number) => coder.quantise(latents[number], quality));
      const originals = left.map((number) => images[number]);
      const errors = await coder.squaredErrors(symbols, originals, quality);
      left = left.filter((number, row) => {
        const reached = psnrOf(errors[row], coder.pixels) >= minPsnr;
        if (reached) {
          found.set(number, { quality, payload: coder.payload(symbols[row], quality) });
        }
        return !reached;
      });
    }
  }
  const coded = [];
  for (const [number, image] of images.entries()) {
    coded.push(found.get(number) ?? { quality: LOSSLESS, payload: await losslessPayload(image, coder.size) });
  }
  return coded;
}

/**
 * @param {ImageLike} image
 * @param {ImageSize} size
 */
function losslessPayload(image, size) {
  const [{ data }] = toImages(toPlanes([image], size), size); // without the alpha of ImageData
  return encodeLossless(data, size);
}

/**
 * Return the PSNR in dB of an image, given its summed error in levels.
 *
 * @param {number} squaredError
 * @param {number} numbers pixels, counting all channels
 */
function psnrOf(squaredError, numbers) {
  return squaredError ? 10 * Math.log10((255 ** 2 * numbers) / squaredError) : Infinity;
}
