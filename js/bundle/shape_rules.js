/** The operators that only select, repeat or rearrange the numbers of an image. */

import { listed } from "../errors.js";
import { FLOAT, MAX_RANK, floats, product } from "./onnx_file.js";
import { RefusedError } from "./onnx_message.js";
import { EITHER, REAL, require, result, sameShape } from "./operator_call.js";

const MAX_PADDING = 255; // rows or columns: fewer than the largest image that export takes has

/** @typedef {import("./operator_call.js").Rule} Rule */

/**
 * @param {number} channelsAt
 * @param {readonly number[]} dtypes
 * @returns {Rule}
 */
export function pool(channelsAt, dtypes) {
  return (call) => {
    const shape = call.takes(dtypes, 3);
    call.constants();
    call.attribute("kernel_shape");
    call.attribute("strides");
    return result(
      call.value.dtype,
      shape.map((side, axis) => (axis === channelsAt ? side : Math.floor(side / 2))),
    );
  };
}

/**
 * Double height and width: the last two of three dimensions for floats, the first two for integers.
 *
 * @type {Rule}
 */
export function resize(call) {
  const shape = call.takes(EITHER, 3);
  const wanted = call.value.dtype === FLOAT ? [1, 1, 2, 2] : [1, 2, 2, 1];
  const [regions, scales] = call.pair();
  require(regions === null && scales?.dtype === FLOAT, "its only constant must be its scales");
  const doubles = sameShape(scales.shape, [4]) && sameShape([...floats(scales.data)], wanted);
  require(doubles, "its scales are not 2");
  for (const name of ["mode", "nearest_mode", "coordinate_transformation_mode"]) {
    call.attribute(name);
  }
  return result(
    call.value.dtype,
    shape.map((side, axis) => side * wanted[axis + 1]),
  );
}

/** @type {Rule} */
export function flatten(call) {
  call.constants();
  return result(call.value.dtype, [product(call.value.shape)]);
}

/** @type {Rule} */
export function reshape(call) {
  const [batch, ...shape] = call.integers(0);
  require(call.given.length === 1 && batch === -1 && shape.length < MAX_RANK, "it does not keep the batch");
  if (shape.some((side) => side < 1) || product(shape) !== product(call.value.shape)) {
    throw new RefusedError(`it cannot reshape ${listed(call.value.shape)} to ${listed(shape, 60)}`);
  }
  return result(call.value.dtype, shape);
}

/** @type {Rule} */
export function transpose(call) {
  call.constants();
  call.attribute("perm");
  const perm = call.list("perm", []);
  const { dtype, shape } = call.value;
  const inOrder = [0, ...shape.map((_, axis) => axis + 1)];
  const sorted = [...perm].sort((a, b) => a - b);
  if (perm[0] !== 0 || !sameShape(sorted, inOrder)) {
    throw new RefusedError(`its perm is ${listed(perm, 60)}`);
  }
  return result(
    dtype,
    perm.slice(1).map((axis) => shape[axis - 1]),
  );
}

/** @type {Rule} */
export function depthToSpace(call) {
  const [channels, height, width] = call.takes(REAL, 3);
  call.constants();
  const block = Number(call.attribute("blocksize"));
  call.attribute("mode");
  require(channels % block ** 2 === 0, `its ${channels} channels are not a multiple of ${block ** 2}`);
  return result(FLOAT, [channels / block ** 2, height * block, width * block]);
}

/**
 * Copy the last row and column of an image a few times; integers have channels last, as in `resize`.
 *
 * @type {Rule}
 */
export function pad(call) {
  const shape = call.takes(EITHER, 3);
  const pads = call.integers(0, 2);
  require(call.given.length === 1 && pads.length === 8, "its pads do not fit its input");
  call.attribute("mode");
  const begins = pads.slice(0, 4);
  const ends = pads.slice(4);
  const channelsAt = call.value.dtype === FLOAT ? 1 : 3;
  const only = begins.every((more) => more === 0) && ends[0] === 0 && ends[channelsAt] === 0;
  require(only, "it pads more than rows and columns");
  const fits = ends.every((more) => more >= 0 && more <= MAX_PADDING);
  require(fits, `its pads are ${listed(pads, 60)}`);
  return result(
    call.value.dtype,
    shape.map((side, axis) => side + ends[axis + 1]),
  );
}

/** @type {Rule} */
export function slice(call) {
  const ranges = slicedRanges(call);
  return result(
    call.value.dtype,
    ranges.map(([start, end]) => Math.max(end - start, 0)),
  );
}

/**
 * Return where a Slice starts and ends on each axis.
 *
 * @param {import("./operator_call.js").Call} call
 * @returns {[start: number, end: number][]}
 */
export function slicedRanges(call) {
  const [starts, ends, axes] = [0, 1, 2].map((place) => call.integers(place));
  const lengths = [call.given.length <= 4, starts.length === ends.length, ends.length === axes.length];
  require(lengths.every(Boolean) && new Set(axes).size === axes.length, "its starts, ends and axes do not match");
  const ones = axes.map(() => 1);
  const steps = call.given.length === 4 ? call.integers(3) : ones; // PyTorch writes them
  require(sameShape(steps, ones), `its steps are ${listed(steps, 60)}`);
  /** @type {[number, number][]} */
  const ranges = call.value.shape.map((side) => [0, side]);
  axes.forEach((axis, place) => {
    require(axis >= 1 && axis <= ranges.length, `it slices axis ${axis}`);
    const side = ranges[axis - 1][1];
    const [start, end] = [starts[place], ends[place]].map((at) =>
      Math.min(Math.max(at < 0 ? at + side : at, 0), side),
    );
    ranges[axis - 1] = [start, end];
  });
  return ranges;
}
