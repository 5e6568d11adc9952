/** Compare an image with its reconstruction, as the command line does. */

/** @import { DecodedImage } from "../images.js" */

const LEAST_VARIANCE = 64; // in levels: of an image without contrast, or the ratio would be that of its noise
const MIDDLE = 128;
const DIFFERENCE_FACTOR = 2; // more would show most errors of a good reconstruction as black or white

/**
 * Return the PSNR in dB, infinite if no level differs.
 *
 * @param {DecodedImage} original
 * @param {DecodedImage} reconstruction of the same size
 * @returns {number}
 */
export function psnr(original, reconstruction) {
  return 10 * Math.log10(255 ** 2 / meanSquaredError(original, reconstruction));
}

/**
 * Return the contrast to error in dB, infinite if no level differs: spec/bundle.md defines it. It is low for
 * images that a bundle does not know, even if they have little contrast.
 *
 * @param {DecodedImage} original
 * @param {DecodedImage} reconstruction of the same size
 * @returns {number}
 */
export function contrastToError(original, reconstruction) {
  const { data } = original;
  let [sum, squares] = [0, 0];
  for (const level of data) {
    sum += level;
    squares += level ** 2;
  }
  const variance = squares / data.length - (sum / data.length) ** 2;
  return 10 * Math.log10((variance + LEAST_VARIANCE) / meanSquaredError(original, reconstruction));
}

/**
 * Return 128 + 2 (reconstruction - original), clipped to 0 and 255: what is too bright is lighter than gray.
 *
 * @param {DecodedImage} original
 * @param {DecodedImage} reconstruction of the same size
 * @returns {DecodedImage}
 */
export function enlargedDifference(original, reconstruction) {
  const data = original.data.map((level, at) => {
    const enlarged = MIDDLE + DIFFERENCE_FACTOR * (reconstruction.data[at] - level);
    return Math.min(Math.max(enlarged, 0), 255);
  });
  return { ...original, data };
}

/**
 * @param {DecodedImage} original
 * @param {DecodedImage} reconstruction
 */
function meanSquaredError(original, reconstruction) {
  let sum = 0;
  original.data.forEach((level, at) => (sum += (level - reconstruction.data[at]) ** 2));
  return sum / original.data.length;
}
