/** Convolutions and dense layers, of floats and of levels, as calls of two kernels. */

import { FLOAT, INT8, floats, product } from "../bundle/onnx_file.js";
import { CHANNELS_LAST, inOrder } from "./layout.js";
import { levels, present, quantiser } from "./quantisation.js";
import { convKernel, denseKernel, transposedKernel } from "./weights.js";
import { packedFloats, packedIntegers, paddedOutputs, rowLength } from "./weights.js";

/**
 * @typedef {import("./plan_builder.js").PlanBuilder} PlanBuilder
 * @typedef {import("./weights.js").Kernel} Kernel
 * @typedef {import("../bundle/onnx_graph.js").Step} Step
 * @typedef {{ low: number, high: number }} Limits of results, from a Clip or a Relu that follows
 *
 * Rows and columns of zeros on each side.
 * @typedef {{ rows: number, columns: number }} Padding
 */

const TO_FLOAT = 0;
const TO_UINT8 = 1;
const TO_INT8 = 2;

/**
 * @param {PlanBuilder} builder
 * @param {Step} step
 * @param {Limits} limits
 */
export function planConv(builder, step, limits) {
  const [weights] = step.call.given;
  planFloats(builder, step, limits, convKernel(present(weights).shape), padding(step));
}

/**
 * @param {PlanBuilder} builder
 * @param {Step} step
 * @param {Limits} limits
 */
export function planConvTranspose(builder, step, limits) {
  const kernel = transposedKernel(present(step.call.given[0]).shape);
  planFloats(builder, step, limits, kernel, padding(step));
}

/**
 * @param {PlanBuilder} builder
 * @param {Step} step
 * @param {Limits} limits
 */
export function planGemm(builder, step, limits) {
  const { shape } = present(step.call.given[0]);
  const transposed = step.call.attributes.get("transB") === 1;
  const kernel = denseKernel(transposed ? [shape[1], shape[0]] : shape, transposed);
  planFloats(builder, step, limits, kernel, { rows: 0, columns: 0 });
}

/**
 * @param {PlanBuilder} builder
 * @param {Step} step
 */
export function planQlinearConv(builder, step) {
  const [scale, zeroPoint, weights, scales, zeroPoints, resultScale, resultZeroPoint, bias] = step.call.given;
  const input = quantiser(scale, zeroPoint);
  const output = quantiser(resultScale, resultZeroPoint);
  const [least, most] = levels(output.dtype);
  planLevels(builder, step, convKernel(present(weights).shape), padding(step), {
    weights: int8(weights),
    zeroPoints: int8(zeroPoints),
    bias,
    input,
    scales: floats(present(scales).data).map((one) => Math.fround(input.scale * one) / output.scale),
    kind: output.dtype === INT8 ? TO_INT8 : TO_UINT8,
    low: least - output.zeroPoint,
    high: most - output.zeroPoint,
    zeroPoint: output.zeroPoint,
  });
}

/**
 * @param {PlanBuilder} builder
 * @param {Step} step
 */
export function planQgemm(builder, step) {
  const [scale, zeroPoint, weights, scales, zeroPoints, bias] = step.call.given;
  const input = quantiser(scale, zeroPoint);
  planLevels(
    builder,
    step,
    denseKernel(present(weights).shape),
    { rows: 0, columns: 0 },
    {
      weights: int8(weights),
      zeroPoints: int8(zeroPoints),
      bias,
      input,
      scales: floats(present(scales).data).map((one) => input.scale * one),
      kind: TO_FLOAT,
      low: 0,
      high: 0,
      zeroPoint: 0,
    },
  );
}

/**
 * Return the bytes of padded images that an operator needs for one image.
 *
 * @param {Step} step
 */
export function paddedBytes(step) {
  const { operator, call } = step;
  const isFloat = call.value.dtype === FLOAT;
  if (operator.endsWith("QGemm")) {
    return 2 * product(call.value.shape);
  }
  const { rows, columns } = padding(step);
  if (!operator.includes("Conv") || (isFloat && rows === 0 && columns === 0)) {
    return 0;
  }
  const [channels, height, width] = isFloat ? call.value.shape : [2, 0, 1].map((axis) => call.value.shape[axis]);
  return (isFloat ? 4 : 2) * channels * (height + 2 * rows) * (width + 2 * columns);
}

/**
 * @param {Step} step
 * @returns {Padding}
 */
function padding({ operator, call }) {
  const [pad] = call.list("pads", [0]);
  if (operator !== "ConvTranspose") {
    return { rows: pad, columns: pad };
  }
  const [, , rows, columns] = present(call.given[0]).shape;
  return { rows: rows - 1 - pad, columns: columns - 1 - pad };
}

/** @param {import("./quantisation.js").Given} given */
function int8(given) {
  const { data } = present(given);
  return new Int8Array(data.buffer, data.byteOffset, data.length);
}

/**
 * Plan an operator of floats; its first two constants are its weights and its bias.
 *
 * @param {PlanBuilder} builder
 * @param {Step} step
 * @param {Limits} limits
 * @param {Kernel} kernel
 * @param {Padding} padding
 */
function planFloats(builder, step, { low, high }, kernel, padding) {
  const { call, gives } = step;
  const isImage = call.value.shape.length === 3;
  builder.arrange(isImage ? CHANNELS_LAST : [0]);
  const [rows, columns, channels] = isImage ? builder.storedShape : [1, 1, builder.count];
  let input = builder.input;
  if (padding.rows > 0 || padding.columns > 0) {
    const { input: from, padded } = builder;
    const [row, pad] = [columns * channels, padding.columns * channels];
    builder.run("pad_floats", (images) => [from, padded, images, rows, row, padding.rows, pad]);
    input = padded;
  }
  const weights = floats(present(call.given[0]).data);
  const bias = floats(present(call.given[1]).data);
  const descriptor = {
    input,
    weights: builder.kernels.copy(packedFloats(kernel, weights)),
    bias: builder.kernels.copy(lengthened(bias, kernel)),
    scales: 0,
    kernelRow: rowLength(kernel, 1),
    low,
    high,
    zeroPoint: 0,
    kind: TO_FLOAT,
  };
  planKernel(builder, "convolve_floats", kernel, padding, [rows, columns, channels], descriptor);
  builder.written({ ...gives, order: isImage ? CHANNELS_LAST : [0] });
}

/**
 * @typedef {object} Levels what an operator of levels needs besides its kernel
 * @property {Int8Array} weights
 * @property {Int8Array} zeroPoints of the weights of each output
 * @property {import("./quantisation.js").Given} bias
 * @property {import("./quantisation.js").Quantiser} input
 * @property {Float32Array} scales that the sums of each output are multiplied by
 * @property {number} kind
 * @property {number} low
 * @property {number} high
 * @property {number} zeroPoint
 */

/**
 * @param {PlanBuilder} builder
 * @param {Step} step
 * @param {Kernel} kernel
 * @param {Padding} padding
 * @param {Levels} given
 */
function planLevels(builder, step, kernel, padding, given) {
  const { call, gives } = step;
  builder.arrange(inOrder(call.value.shape));
  const isImage = call.value.shape.length === 3;
  const [rows, columns, channels] = isImage ? call.value.shape : [1, 1, builder.count];
  const { input, padded } = builder;
  const [row, pad] = [columns * channels, padding.columns * channels];
  const { zeroPoint, dtype } = given.input;
  const isSigned = Number(dtype === INT8);
  builder.run("pad_levels", (images) => [
    ...[input, padded, images, rows, row, padding.rows, pad],
    ...[zeroPoint, isSigned],
  ]);
  const bias = new Int32Array(new Uint8Array(present(given.bias).data).buffer);
  const descriptor = {
    input: padded,
    weights: builder.kernels.copy(packedIntegers(kernel, given.weights, given.zeroPoints)),
    bias: builder.kernels.copy(lengthened(bias, kernel)),
    scales: builder.kernels.copy(lengthened(given.scales, kernel)),
    kernelRow: rowLength(kernel, 2),
    low: given.low,
    high: given.high,
    zeroPoint: given.zeroPoint,
    kind: given.kind,
  };
  planKernel(builder, "convolve_integers", kernel, padding, [rows, columns, channels], descriptor);
  builder.written({ ...gives, order: inOrder(gives.shape) });
}

/**
 * Plan the call of a kernel with its `struct conv`.
 *
 * @param {PlanBuilder} builder
 * @param {string} name
 * @param {Kernel} kernel
 * @param {Padding} padding
 * @param {number[]} image rows, columns, channels, without padding
 * @param {object} given
 * @param {number} given.input
 * @param {number} given.weights
 * @param {number} given.bias
 * @param {number} given.scales
 * @param {number} given.kernelRow
 * @param {number} given.low
 * @param {number} given.high
 * @param {number} given.zeroPoint
 * @param {number} given.kind
 */
function planKernel(builder, name, kernel, padding, [rows, columns, channels], given) {
  const [outputs, , kernelRows, kernelColumns] = kernel.shape;
  const [paddedRows, paddedColumns] = [rows + 2 * padding.rows, columns + 2 * padding.columns];
  const row = paddedColumns * channels;
  const { input, weights, bias, scales, kernelRow, low, high, zeroPoint, kind } = given;
  const result = [paddedRows + 1 - kernelRows, paddedColumns + 1 - kernelColumns];
  const struct = Int32Array.of(
    ...[input, weights, bias, scales, builder.output],
    ...[...result, paddedRows * row, row, channels, kernelRows, kernelRow, outputs],
    ...[0, 0, zeroPoint, kind],
  );
  new Float32Array(struct.buffer).set([low, high], 13);
  const address = builder.kernels.copy(struct);
  builder.run(name, (images) => [address, images]);
}

/**
 * Return numbers of each output, with zeros for those that only fill the last block of 8.
 *
 * @template {Float32Array | Int32Array} Numbers
 * @param {Numbers} numbers
 * @param {Kernel} kernel
 * @returns {Numbers}
 */
function lengthened(numbers, kernel) {
  const result = /** @type {Numbers} */ (
    numbers instanceof Int32Array ? new Int32Array(paddedOutputs(kernel)) : new Float32Array(paddedOutputs(kernel))
  );
  result.set(numbers);
  return result;
}
