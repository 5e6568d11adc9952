/** Convert between levels, 0 to 255, and the float32 pixels of graphs, 0 to 1. */

const HALF_EVEN = 1.5 * 2 ** 52; // a float64 so large that adding it rounds to integers, halves to even

/** The float32 pixel of each level. */
export const REAL_PIXELS = Float32Array.from({ length: 256 }, (_, level) => level / 255);

/**
 * Return levels divided by 255.
 *
 * @param {Uint8Array} levels
 * @returns {Float32Array}
 */
export function toReals(levels) {
  const reals = new Float32Array(levels.length);
  for (let index = 0; index < levels.length; index++) {
    reals[index] = REAL_PIXELS[levels[index]];
  }
  return reals;
}

/**
 * Return the nearest levels of pixels. Pixels outside 0 to 1 are clipped.
 *
 * @param {Float32Array} pixels finite
 * @returns {Uint8Array}
 */
export function toLevels(pixels) {
  const levels = new Uint8Array(pixels.length);
  for (let index = 0; index < pixels.length; index++) {
    levels[index] = roundHalfEven(Math.fround(Math.min(Math.max(pixels[index], 0), 1) * 255));
  }
  return levels;
}

/**
 * Return the nearest integer, and the even one of two. `Math.round` returns the upper one.
 *
 * @param {number} value at most 2^51 in absolute value
 * @returns {number}
 */
export function roundHalfEven(value) {
  return value + HALF_EVEN - HALF_EVEN;
}

/** @param {Float32Array} values */
export function areFinite(values) {
  return values.every(Number.isFinite);
}
