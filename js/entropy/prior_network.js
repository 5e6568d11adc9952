/**
 * The network of one group of latents: three layers of integers, which predict the group from the latents before
 * it.
 *
 * Every sum stays below 2^24, so products and sums are exact in 32-bit integers. `PriorNetwork.read` verifies that
 * bound from the weights.
 */

/** @typedef {import("../bundle/safetensors.js").Tensor} Tensor */
/** @typedef {(holds: unknown, what: string) => void} Need throws BundleError, which says `what` is needed */

const MAX_INPUT = 2047; // largest latent, in units, that the first layer gets
const MAX_HIDDEN = 1023;
const EXACT = 1 << 24;
const AT_ONCE = 4;

/**
 * x -> (x weights + bias) >> shift.
 *
 * @typedef {object} Layer
 * @property {number} outputs
 * @property {Int32Array} weights (inputs, outputs)
 * @property {Int32Array} bias (9, outputs), one row per quality; or (1, outputs)
 * @property {Int32Array} shift (outputs)
 * @property {Int32Array} used numbers of the inputs that are not 0, and AT_ONCE - 1 places more
 */

/** Predicts `size` means in sixteenths of a unit, and `size` widths in rows of the tables. */
export class PriorNetwork {
  /**
   * @param {number} inputs number of latents before the group
   * @param {[Layer, Layer, Layer]} layers
   */
  constructor(inputs, layers) {
    this.layers = layers;
    this.size = layers[2].outputs / 2;
    this.input = new Int32Array(inputs);
    this.results = layers.map((layer) => new Int32Array(layer.outputs));
  }

  /**
   * Read the layers `name`.0 to `name`.2 of a group that has `inputs` latents before it.
   *
   * @param {Map<string, Tensor>} tensors
   * @param {string} name
   * @param {number} inputs
   * @param {number} qualities
   * @param {Need} need
   * @returns {PriorNetwork}
   */
  static read(tensors, name, inputs, qualities, need) {
    const shape = tensors.get(`${name}.2.weights`)?.shape ?? [];
    const [hidden, outputs] = shape;
    need(shape.length === 2 && outputs % 2 === 0, `${name}.2.weights`);
    return new PriorNetwork(inputs, [
      readLayer(tensors, `${name}.0`, [inputs, hidden], qualities, MAX_INPUT, need),
      readLayer(tensors, `${name}.1`, [hidden, hidden], 1, MAX_HIDDEN, need),
      readLayer(tensors, `${name}.2`, [hidden, outputs], 1, MAX_HIDDEN, need),
    ]);
  }

  /**
   * Return `size` means and then `size` widths, in an array that the next call overwrites.
   *
   * @param {Int32Array} symbols of one image
   * @param {number} step the quantiser step of the quality, in units
   * @param {number} quality 1 to 9
   * @returns {Int32Array}
   */
  answers(symbols, step, quality) {
    const { input, layers, results } = this;
    for (let latent = 0; latent < input.length; latent++) {
      input[latent] = Math.min(Math.max(symbols[latent] * step, -MAX_INPUT), MAX_INPUT);
    }
    apply(layers[0], input, results[0], quality - 1);
    clip(results[0]);
    apply(layers[1], results[0], results[1], 0);
    clip(results[1]);
    apply(layers[2], results[1], results[2], 0);
    return results[2];
  }
}

/**
 * Write a layer's result for the integers `x`, with row `row` of its bias.
 *
 * Most of `x` is zero, and takes no time. The others are added four at a time, which takes half as long as one at
 * a time: the sums are read and written less often.
 *
 * @param {Layer} layer
 * @param {Int32Array} x
 * @param {Int32Array} result
 * @param {number} row
 */
function apply({ outputs, weights, bias, shift, used }, x, result, row) {
  let count = 0;
  for (let input = 0; input < x.length; input++) {
    if (x[input] !== 0) {
      used[count++] = input;
    }
  }
  for (let output = 0; output < outputs; output++) {
    result[output] = bias[row * outputs + output];
  }
  for (let next = 0; next < count; next += AT_ONCE) {
    const x0 = x[used[next]];
    const x1 = next + 1 < count ? x[used[next + 1]] : 0;
    const x2 = next + 2 < count ? x[used[next + 2]] : 0;
    const x3 = next + 3 < count ? x[used[next + 3]] : 0;
    const at0 = used[next] * outputs;
    const at1 = used[next + 1] * outputs; // of any row after the last one, because its x is 0
    const at2 = used[next + 2] * outputs;
    const at3 = used[next + 3] * outputs;
    for (let output = 0; output < outputs; output++) {
      result[output] =
        (result[output] +
          Math.imul(x0, weights[at0 + output]) +
          Math.imul(x1, weights[at1 + output]) +
          Math.imul(x2, weights[at2 + output]) +
          Math.imul(x3, weights[at3 + output])) |
        0;
    }
  }
  for (let output = 0; output < outputs; output++) {
    result[output] >>= shift[output];
  }
}

/** @param {Int32Array} values */
function clip(values) {
  for (let index = 0; index < values.length; index++) {
    values[index] = Math.min(Math.max(values[index], 0), MAX_HIDDEN);
  }
}

/**
 * @param {Map<string, Tensor>} tensors
 * @param {string} name
 * @param {[number, number]} shape
 * @param {number} biases
 * @param {number} largest the largest absolute value of an input
 * @param {Need} need
 * @returns {Layer}
 */
function readLayer(tensors, name, [inputs, outputs], biases, largest, need) {
  const [weights, bias, shift] = ["weights", "bias", "shift"].map((part) => {
    const tensor = tensors.get(`${name}.${part}`);
    need(tensor !== undefined, `${name}.${part}`);
    return /** @type {Tensor} */ (tensor);
  });
  need(hasShape(weights, [inputs, outputs]), `${name}.weights`);
  need(hasShape(bias, [biases, outputs]), `${name}.bias`);
  need(hasShape(shift, [outputs]) && shift.data.every((by) => by >= 0 && by < 24), `${name}.shift`);
  const sums = columnSums(weights.data, outputs);
  for (let output = 0; output < outputs; output++) {
    let largestBias = 0;
    for (let row = 0; row < biases; row++) {
      largestBias = Math.max(largestBias, Math.abs(bias.data[row * outputs + output]));
    }
    need(sums[output] * largest + largestBias < EXACT, `sums under 2^24 in ${name}`);
  }
  return {
    outputs,
    weights: new Int32Array(weights.data),
    bias: new Int32Array(bias.data),
    shift: new Int32Array(shift.data),
    used: new Int32Array(inputs + AT_ONCE - 1),
  };
}

/**
 * Return the sum of the absolute values of each column.
 *
 * @param {ArrayLike<number>} matrix row by row
 * @param {number} columns
 */
function columnSums(matrix, columns) {
  const sums = new Float64Array(columns);
  for (let first = 0; first < matrix.length; first += columns) {
    for (let column = 0; column < columns; column++) {
      sums[column] += Math.abs(matrix[first + column]);
    }
  }
  return sums;
}

/**
 * @param {Tensor} tensor
 * @param {number[]} shape
 */
function hasShape(tensor, shape) {
  return tensor.shape.length === shape.length && shape.every((side, index) => tensor.shape[index] === side);
}
