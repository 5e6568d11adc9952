/** What each operator that has no multiply-adds becomes in a plan. */

import { FLOAT, INT8, UINT8, floats, product } from "../bundle/onnx_file.js";
import { slicedRanges } from "../bundle/shape_rules.js";
import { CHANNELS_LAST, arranged, inOrder, steps, strides } from "./layout.js";
import { dequantised, levels, present, quantiser, scalar, sigmoidLevels, signed } from "./quantisation.js";

/**
 * @typedef {import("./plan_builder.js").PlanBuilder} PlanBuilder
 * @typedef {import("../bundle/onnx_graph.js").Step} Step
 * @typedef {(builder: PlanBuilder, step: Step) => void} Planner
 */

/**
 * Return what an operator makes of every number of the last result, if it is a Clip or a Relu.
 *
 * @param {Step | undefined} step
 * @returns {{ low: number, high: number } | undefined}
 */
export function limitsOf(step) {
  if (step?.operator === "Relu") {
    return { low: 0, high: Infinity };
  }
  if (step?.operator === "Clip") {
    const [low, high] = step.call.given.map(scalar);
    return { low, high };
  }
  return undefined;
}

/** @type {Planner} */
function clip(builder, step) {
  const { low, high } = limitsOf(step) ?? { low: -Infinity, high: Infinity };
  const { input, count } = builder;
  builder.run("clip", (images) => [input, images * count, low, high]);
}

/** @type {Planner} */
function floor(builder) {
  const { input, count } = builder;
  builder.run("round_down", (images) => [input, images * count]);
}

/** @type {Planner} */
function sub(builder, { call }) {
  const { input, count } = builder;
  const other = scalar(call.given[0]);
  builder.run("subtract", (images) => [input, images * count, other]);
}

/** @type {Planner} */
function sigmoid(builder) {
  const { input, count } = builder;
  builder.run("sigmoid", (images) => [input, images * count]);
}

/** @type {Planner} */
function mul(builder, { call }) {
  const { input, count } = builder;
  const factors = arranged(floats(present(call.given[0]).data), builder.value.shape, builder.value.order);
  const others = builder.kernels.copy(factors);
  builder.run("multiply", (images) => [input, others, images, count]);
}

/** @type {Planner} */
function qlinearMul(builder, { call }) {
  const [scale, zeroPoint, factors, ...rest] = call.given;
  const from = quantiser(scale, zeroPoint);
  const by = quantiser(rest[0], rest[1]);
  const to = quantiser(rest[2], rest[3]);
  const numbers = Int16Array.from(present(factors).data, (byte) => signed(byte, by.dtype) - by.zeroPoint);
  const others = builder.kernels.copy(arranged(numbers, builder.value.shape, builder.value.order));
  const ratio = Math.fround(from.scale * by.scale) / to.scale;
  const { input, count } = builder;
  const isSigned = Number(from.dtype === INT8);
  builder.run("multiply_levels", (images) => [
    ...[input, others, images, count, isSigned],
    ...[from.zeroPoint, ratio, to.zeroPoint],
  ]);
}

/** @type {Planner} */
function qlinearSigmoid(builder, { call }) {
  const [scale, zeroPoint, resultScale, resultZeroPoint] = call.given;
  const levelTable = sigmoidLevels(quantiser(scale, zeroPoint), quantiser(resultScale, resultZeroPoint));
  const table = builder.kernels.copy(levelTable);
  const { input, count } = builder;
  builder.run("look_up", (images) => [input, input, images * count, table]);
}

/** @type {Planner} */
function dequantizeLinear(builder, { call }) {
  toFloats(builder, dequantised(quantiser(call.given[0], call.given[1])));
}

/**
 * Replace levels by floats.
 *
 * @param {PlanBuilder} builder
 * @param {Float32Array} values of the 256 levels
 */
export function toFloats(builder, values) {
  const table = builder.kernels.copy(values);
  const { input, output, count } = builder;
  builder.run("look_up_floats", (images) => [input, output, images * count, table]);
  builder.written({ dtype: FLOAT });
}

/** @type {Planner} */
function quantizeLinear(builder, { call, gives }) {
  const [scale, zeroPoint] = call.given.map(present);
  const [least, most] = levels(gives.dtype);
  const scales = product(scale.shape);
  if (scales > 1) {
    builder.arrange(inOrder(builder.value.shape)); // each scale is that of an entry of the first axis
  }
  const scaleAt = builder.kernels.copy(floats(scale.data));
  const zeroPointAt = builder.kernels.copy(Int32Array.from(zeroPoint.data, (byte) => signed(byte, gives.dtype)));
  const { input, output, count } = builder;
  builder.run("quantise", (images) => [
    ...[input, output, images, scales, count / scales, scaleAt, zeroPointAt, least, most],
  ]);
  builder.written({ dtype: gives.dtype });
}

/** @type {Planner} */
function cast(builder, { gives }) {
  const { dtype } = builder.value;
  if (dtype !== FLOAT && gives.dtype === FLOAT) {
    toFloats(builder, dequantised({ scale: 1, zeroPoint: 0, dtype }));
  } else if (dtype === FLOAT && gives.dtype !== FLOAT) {
    const { input, output, count } = builder;
    builder.run("truncate", (images) => [input, output, images * count]);
    builder.written({ dtype: gives.dtype });
  }
  builder.value.dtype = gives.dtype; // UINT8 and INT8 have the same bytes
}

/** @type {Planner} */
function maxPool(builder, { gives }) {
  const isFloat = gives.dtype === FLOAT;
  builder.arrange(isFloat ? CHANNELS_LAST : [0, 1, 2]);
  const [rows, columns, channels] = builder.storedShape;
  const { input, output } = builder;
  const kernel = isFloat ? "pool_floats" : gives.dtype === UINT8 ? "pool_uint8" : "pool_int8";
  builder.run(kernel, (images) => [input, output, images, rows, columns, channels]);
  builder.written({ shape: gives.shape });
}

/** @type {Planner} */
function reshape(builder, { gives }) {
  builder.arrange(inOrder(builder.value.shape));
  builder.value = { ...builder.value, shape: gives.shape, order: inOrder(gives.shape) };
}

/** @type {Planner} */
function transpose(builder, { call, gives }) {
  const perm = call.list("perm", []).slice(1);
  const order = builder.value.order.map((axis) => perm.indexOf(axis + 1));
  builder.value = { ...builder.value, shape: gives.shape, order };
}

/**
 * Return the planner of an operator that takes the number at each place of an axis from another place.
 *
 * @param {(step: Step, axis: number, place: number) => number} from
 * @returns {Planner}
 */
function selection(from) {
  return (builder, step) => {
    const { shape, order } = builder.value;
    const distances = strides(shape, order);
    builder.gather(step.gives.shape, order, (axis) =>
      steps(step.gives.shape[axis], 1).map((place) => from(step, axis, place) * distances[axis]),
    );
  };
}

const resize = selection(({ call, gives }, axis, place) =>
  gives.shape[axis] === call.value.shape[axis] ? place : place >> 1,
);
const pad = selection(({ call }, axis, place) => Math.min(place, call.value.shape[axis] - 1));
const slice = selection(({ call }, axis, place) => slicedRanges(call)[axis][0] + place);

/** @type {Planner} */
function depthToSpace(builder, { call, gives }) {
  const block = Number(call.attribute("blocksize"));
  const { shape, order } = builder.value;
  const [channel, row, column] = strides(shape, order);
  const [channels] = gives.shape;
  const inBlock = [0, block * channels * channel, channels * channel];
  const distances = [channel, row, column];
  builder.gather(gives.shape, order, (axis) =>
    steps(gives.shape[axis], 1).map((place) =>
      axis === 0 ? place * channel : (place % block) * inBlock[axis] + Math.floor(place / block) * distances[axis],
    ),
  );
}

/** @type {Map<string, Planner>} */
export const PLANNERS = new Map([
  ["Cast", cast],
  ["Clip", clip],
  ["DepthToSpace", depthToSpace],
  ["DequantizeLinear", dequantizeLinear],
  ["Flatten", reshape],
  ["Floor", floor],
  ["MaxPool", maxPool],
  ["Mul", mul],
  ["Pad", pad],
  ["QuantizeLinear", quantizeLinear],
  ["Relu", clip],
  ["Reshape", reshape],
  ["Resize", resize],
  ["Sigmoid", sigmoid],
  ["Slice", slice],
  ["Sub", sub],
  ["Transpose", transpose],
  ["com.microsoft.NhwcMaxPool", maxPool],
  ["com.microsoft.QLinearMul", qlinearMul],
  ["com.microsoft.QLinearSigmoid", qlinearSigmoid],
]);
