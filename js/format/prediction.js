/**
 * Predict each pixel of a lossless image from those before it. All sums are modulo 256, as in a Uint8Array.
 *
 * Images are planes here: channel after channel, rows from top to bottom. The predictions are numbered as in
 * spec/format.md: 0 none, 1 left, 2 up, 3 median. Pixels outside the image are 0.
 */

/**
 * Turn residuals into pixels, in place.
 *
 * @param {Uint8Array} planes
 * @param {number} prediction
 * @param {number} width
 * @param {number} height
 */
export function addPredictions(planes, prediction, width, height) {
  if (prediction !== 0) {
    for (let index = 0; index < planes.length; index++) {
      planes[index] += predicted(planes, index, prediction, width, height);
    }
  }
}

/**
 * Return what a prediction leaves of the pixels.
 *
 * @param {Uint8Array} planes
 * @param {number} prediction
 * @param {number} width
 * @param {number} height
 * @returns {Uint8Array}
 */
export function residualsOf(planes, prediction, width, height) {
  return prediction === 0
    ? planes
    : planes.map((pixel, index) => pixel - predicted(planes, index, prediction, width, height));
}

/**
 * @param {Uint8Array} planes whose pixels before `index` are known
 * @param {number} index
 * @param {number} prediction 1 to 3
 * @param {number} width
 * @param {number} height
 */
function predicted(planes, index, prediction, width, height) {
  const hasLeft = index % width !== 0;
  const hasUp = index % (width * height) >= width;
  const left = hasLeft ? planes[index - 1] : 0;
  if (prediction === 1) {
    return left;
  }
  const up = hasUp ? planes[index - width] : 0;
  if (prediction === 2) {
    return up;
  }
  const corner = hasLeft && hasUp ? planes[index - width - 1] : 0;
  // The median of left, up and left + up - corner, as LOCO-I and JPEG-LS predict pixels
  return Math.min(Math.max(left + up - corner, Math.min(left, up)), Math.max(left, up));
}
