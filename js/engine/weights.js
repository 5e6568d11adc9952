/** The weights of a convolution in the order in which the kernels read them. */

const OUTPUTS = 8; // that a kernel computes at once

/**
 * The weight of output o, channel c, row y and column x is at start + o * outputs + c * channels + y * rows +
 * x * columns. A dense layer is a convolution of an image of 1x1.
 *
 * @typedef {object} Kernel
 * @property {number[]} shape outputs, channels, rows, columns
 * @property {number} start
 * @property {number[]} strides of outputs, channels, rows, columns
 */

/** @param {number[]} shape outputs, channels, rows, columns: as the weights of a Conv lie in a file */
export function convKernel(shape) {
  const [, channels, rows, columns] = shape;
  return { shape, start: 0, strides: [channels * rows * columns, rows * columns, columns, 1] };
}

/**
 * A transposed convolution is a convolution with its kernel turned by half a turn.
 *
 * @param {number[]} shape channels, outputs, rows, columns: as the weights of a ConvTranspose lie in a file
 */
export function transposedKernel([channels, outputs, rows, columns]) {
  const area = rows * columns;
  const strides = [area, outputs * area, -columns, -1];
  return { shape: [outputs, channels, rows, columns], start: area - 1, strides };
}

/**
 * @param {number[]} shape inputs, outputs
 * @param {boolean} [transposed] whether the weights of an output lie side by side in the file
 */
export function denseKernel([inputs, outputs], transposed = false) {
  const strides = transposed ? [inputs, 1, 0, 0] : [1, outputs, 0, 0];
  return { shape: [outputs, inputs, 1, 1], start: 0, strides };
}

/** @param {Kernel} kernel */
export function paddedOutputs({ shape }) {
  return Math.ceil(shape[0] / OUTPUTS) * OUTPUTS;
}

/**
 * Return how many numbers of a row of pixels an output needs, a multiple of `step`.
 *
 * @param {Kernel} kernel
 * @param {number} step
 */
export function rowLength({ shape: [, channels, , columns] }, step) {
  return Math.ceil((channels * columns) / step) * step;
}

/**
 * Return the weights for `convolve_floats`: for each 8 outputs, for each row, pixel and channel, 8 weights.
 *
 * @param {Kernel} kernel
 * @param {Float32Array} weights
 */
export function packedFloats(kernel, weights) {
  return packed(kernel, new Float32Array(packedLength(kernel, 1)), 1, weights, new Int8Array(kernel.shape[0]));
}

/**
 * Return the weights for `convolve_integers`, less their zero points: as for floats, but for pairs of channels.
 *
 * @param {Kernel} kernel
 * @param {Int8Array} weights
 * @param {Int8Array} zeroPoints of each output
 */
export function packedIntegers(kernel, weights, zeroPoints) {
  return packed(kernel, new Int16Array(packedLength(kernel, 2)), 2, weights, zeroPoints);
}

/**
 * @param {Kernel} kernel
 * @param {number} step
 */
function packedLength(kernel, step) {
  return paddedOutputs(kernel) * kernel.shape[2] * rowLength(kernel, step);
}

/**
 * @template {Float32Array | Int16Array} Packed
 * @param {Kernel} kernel
 * @param {Packed} result
 * @param {number} step
 * @param {Float32Array | Int8Array} weights
 * @param {Int8Array} zeroPoints
 * @returns {Packed}
 */
function packed(kernel, result, step, weights, zeroPoints) {
  const [outputs, channels, rows, columns] = kernel.shape;
  const [perOutput, perChannel, perRow, perColumn] = kernel.strides;
  const length = rowLength(kernel, step);
  const toNext = (OUTPUTS - 1) * step + 1; // from the last weight of a pair to the first of the next
  for (let output = 0; output < outputs; output++) {
    const lane = output % OUTPUTS;
    const zeroPoint = zeroPoints[output];
    for (let row = 0; row < rows; row++) {
      let to = ((output - lane) * rows + row * OUTPUTS) * length + lane * step;
      let inPair = 0;
      for (let column = 0; column < columns; column++) {
        let from = kernel.start + output * perOutput + row * perRow + column * perColumn;
        for (let channel = 0; channel < channels; channel++, from += perChannel) {
          result[to] = weights[from] - zeroPoint;
          inPair = (inPair + 1) % step;
          to += inPair === 0 ? toNext : 1;
        }
      }
    }
  }
  return result;
}
