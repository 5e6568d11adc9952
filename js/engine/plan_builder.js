/**
 * A plan is a list of calls of kernels, made once for a graph, that a block of images passes through.
 *
 * Each result lies in one of two buffers, and an operator reads one and writes the other, or works in place. A
 * third buffer holds images with their padding.
 */

import { FLOAT, product } from "../bundle/onnx_file.js";
import { gather, inOrder, sameOrder, steps, stored, strides } from "./layout.js";

/**
 * A result: its type, its shape in the graph, the order of its axes in memory, and its buffer.
 *
 * @typedef {{ dtype: number, shape: number[], order: number[], buffer: number }} Stored
 */

/** Collects the calls of a plan. `value` is the last result so far. */
export class PlanBuilder {
  /**
   * @param {import("./kernels.js").Kernels} kernels
   * @param {number[]} buffers addresses of two buffers for results and one for padded images
   * @param {{ dtype: number, shape: number[] }} input
   */
  constructor(kernels, buffers, input) {
    this.kernels = kernels;
    this.buffers = buffers;
    /** @type {Stored} */
    this.value = { ...input, order: inOrder(input.shape), buffer: 0 };
    /** @type {((images: number) => void)[]} */
    this.calls = [];
  }

  /** The address of the last result. */
  get input() {
    return this.buffers[this.value.buffer];
  }

  /** The address of the next result of an operator that does not work in place. */
  get output() {
    return this.buffers[1 - this.value.buffer];
  }

  /** The address of padded images. */
  get padded() {
    return this.buffers[2];
  }

  /** How many numbers the last result has for an image. */
  get count() {
    return product(this.value.shape);
  }

  /**
   * @param {string} name of a kernel
   * @param {(images: number) => number[]} given its arguments for a number of images
   */
  run(name, given) {
    const kernel = this.kernels.call[name];
    this.calls.push((images) => kernel(...given(images)));
  }

  /**
   * Say what the last result is, after an operator that does not work in place.
   *
   * @param {Partial<Stored>} change
   */
  written(change) {
    this.value = { ...this.value, ...change, buffer: 1 - this.value.buffer };
  }

  /**
   * Rearrange the last result, unless its order is already this one.
   *
   * @param {number[]} order
   */
  arrange(order) {
    const { shape } = this.value;
    if (!sameOrder(shape, this.value.order, order)) {
      const distances = strides(shape, this.value.order);
      this.gather(shape, order, (axis) => steps(shape[axis], distances[axis]));
    }
    this.value.order = order;
  }

  /**
   * Make the next result of numbers of the last one: that at (i, j, ...) is at offsets(0)[i] + offsets(1)[j] + ...
   *
   * @param {number[]} shape
   * @param {number[]} order
   * @param {(axis: number) => Int32Array} offsets
   */
  gather(shape, order, offsets) {
    const item = this.value.dtype === FLOAT ? 4 : 1;
    const { table, run } = gather(order.map(offsets));
    const address = this.kernels.copy(table.map((offset) => offset * item));
    const { input, output, count } = this;
    this.run("gather", (images) => [input, output, address, table.length, run * item, images, count * item]);
    this.written({ shape, order });
  }

  /** Return the shape of the last result in memory. */
  get storedShape() {
    return stored(this.value.shape, this.value.order);
  }
}
