/** The operators with multiply-adds: convolutions and dense layers. */

import { listed } from "../errors.js";
import { FLOAT, INT32, INT8, product } from "./onnx_file.js";
import { RefusedError } from "./onnx_message.js";
import { LEVELS, REAL, require, result, sameShape, scalarQuantiser } from "./operator_call.js";

const MAX_KERNEL = 3; // on each side

/**
 * @typedef {import("./operator_call.js").Rule} Rule
 * @typedef {import("./operator_call.js").Expected} Expected
 */

/**
 * Return the shape of a convolution's weights, and the number of zeros that it adds on each side.
 *
 * @param {import("./operator_call.js").Call} call
 * @param {number} place
 */
function kernelOf(call, place) {
  const shape = call.matrix(place, 4);
  const kernel = shape.slice(2);
  const pads = call.list("pads", [0, 0, 0, 0]);
  require(sameShape(call.list("kernel_shape", kernel), kernel), "its kernel_shape is not that of its weights");
  if (pads.length !== 4 || pads.some((pad) => pad !== pads[0])) {
    throw new RefusedError(`its pads are ${listed(pads, 60)}`);
  }
  const fits = Math.max(...kernel) <= MAX_KERNEL && pads[0] >= 0 && pads[0] < Math.min(...kernel);
  require(fits, "its kernel or its pads are too large");
  return { shape, kernel, pad: pads[0] };
}

/**
 * @param {number[]} sides
 * @param {number[]} kernel
 * @param {number} pad
 */
function convolved(sides, kernel, pad) {
  return sides.map((side, axis) => side + 2 * pad + 1 - kernel[axis]);
}

/** @type {Rule} */
export function conv(call) {
  const [channels, ...sides] = call.takes(REAL, 3);
  const { shape, kernel, pad } = kernelOf(call, 0);
  call.constants([FLOAT, [shape[0], channels, ...kernel]], [FLOAT, [shape[0]]]);
  const sizes = [shape[0], ...convolved(sides, kernel, pad)];
  return result(FLOAT, sizes, product(sizes) * product(shape.slice(1)));
}

/** @type {Rule} */
export function convTranspose(call) {
  const [channels, ...sides] = call.takes(REAL, 3);
  const { shape, kernel, pad } = kernelOf(call, 0);
  call.constants([FLOAT, [channels, ...shape.slice(1)]], [FLOAT, [shape[1]]]);
  const sizes = sides.map((side, axis) => side - 1 + kernel[axis] - 2 * pad);
  return result(FLOAT, [shape[1], ...sizes], product(call.value.shape) * product(shape.slice(1)));
}

/** @type {Rule} */
export function qlinearConv(call) {
  const [height, width, channels] = call.takes(LEVELS, 3);
  const { shape, kernel, pad } = kernelOf(call, 2);
  const quantiser = scalarQuantiser(call);
  const out = [shape[0]];
  /** @type {Expected[]} */
  const weights = [
    [INT8, [...out, channels, ...kernel]],
    [FLOAT, out],
    [INT8, out],
  ];
  call.constants(...quantiser, ...weights, ...quantiser, [INT32, out]);
  require(call.attributes.get("channels_last") === 1, "its channels are not last");
  const sizes = [...convolved([height, width], kernel, pad), shape[0]];
  return result(call.value.dtype, sizes, product(sizes) * product(shape.slice(1)));
}

/** @type {Rule} */
export function gemm(call) {
  const [inputs] = call.takes(REAL, 1);
  const shape = call.matrix(0, 2);
  const transposed = call.attributes.get("transB") === 1;
  const outputs = transposed ? shape[0] : shape[1];
  call.constants([FLOAT, transposed ? [outputs, inputs] : [inputs, outputs]], [FLOAT, [outputs]]);
  return result(FLOAT, [outputs], inputs * outputs);
}

/** @type {Rule} */
export function qgemm(call) {
  const [inputs] = call.takes(LEVELS, 1);
  const out = call.matrix(2, 2).slice(1);
  call.constants(...scalarQuantiser(call), [INT8, [inputs, ...out]], [FLOAT, out], [INT8, out], [INT32, out]);
  return result(FLOAT, out, inputs * out[0]);
}
