/**
 * The order of an array's numbers in memory, and tables that rearrange them.
 *
 * Convolutions want the channels of a pixel side by side, whatever order a graph has. So a value has the shape of
 * the graph, and an `order`: its axes as they lie in memory, the outermost first. A Transpose changes only that.
 */

/** The order of an image (channels, height, width) whose channels lie side by side. */
export const CHANNELS_LAST = [1, 2, 0];

/**
 * Return the shape as it lies in memory.
 *
 * @param {number[]} shape
 * @param {number[]} order
 */
export function stored(shape, order) {
  return order.map((axis) => shape[axis]);
}

/** @param {number[]} shape */
export function inOrder(shape) {
  return shape.map((_, axis) => axis);
}

/**
 * Return the distance in memory between neighbours along each axis.
 *
 * @param {number[]} shape
 * @param {number[]} order
 * @returns {number[]}
 */
export function strides(shape, order) {
  /** @type {number[]} */
  const result = shape.map(() => 0);
  let stride = 1;
  for (const axis of [...order].reverse()) {
    result[axis] = stride;
    stride *= shape[axis];
  }
  return result;
}

/**
 * Return whether two orders are the same order of numbers: axes of length 1 may be anywhere.
 *
 * @param {number[]} shape
 * @param {number[]} first
 * @param {number[]} second
 */
export function sameOrder(shape, first, second) {
  const long = (/** @type {number[]} */ order) => order.filter((axis) => shape[axis] > 1).join();
  return long(first) === long(second);
}

/**
 * A rearrangement: each result of `run` numbers comes from an offset, in numbers.
 *
 * @typedef {{ table: Int32Array, run: number }} Gather
 */

/**
 * Return the rearrangement in which the number at (i, j, ...) comes from the offset axes[0][i] + axes[1][j] + ...
 *
 * @param {Int32Array[]} axes
 * @returns {Gather}
 */
export function gather(axes) {
  const outer = [...axes];
  let run = 1;
  while (outer.length > 0) {
    const last = outer[outer.length - 1];
    if (last.some((offset, at) => offset !== last[0] + at * run)) {
      break;
    }
    // The first offset of a whole run moves to another axis, or is the only offset
    outer.pop();
    if (outer.length === 0) {
      return { table: Int32Array.of(last[0]), run: run * last.length };
    }
    outer[outer.length - 1] = outer[outer.length - 1].map((offset) => offset + last[0]);
    run *= last.length;
  }
  let table = Int32Array.of(0);
  for (const offsets of outer) {
    const longer = new Int32Array(table.length * offsets.length);
    table.forEach((start, at) => {
      offsets.forEach((offset, place) => {
        longer[at * offsets.length + place] = start + offset;
      });
    });
    table = longer;
  }
  return { table, run };
}

/**
 * Return the numbers of a constant of the graph in another order.
 *
 * @template {Float32Array | Int16Array} Numbers
 * @param {Numbers} numbers
 * @param {number[]} shape
 * @param {number[]} order
 * @returns {Numbers}
 */
export function arranged(numbers, shape, order) {
  const distances = strides(shape, inOrder(shape));
  const { table, run } = gather(order.map((axis) => steps(shape[axis], distances[axis])));
  const result = /** @type {Numbers} */ (numbers.slice());
  table.forEach((from, at) => result.set(numbers.subarray(from, from + run), at * run));
  return result;
}

/**
 * Return 0, stride, 2 stride, ...
 *
 * @param {number} length
 * @param {number} stride
 */
export function steps(length, stride) {
  return Int32Array.from({ length }, (_, at) => at * stride);
}
