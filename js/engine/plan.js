/** Make the plan of a checked graph, and run it on blocks of images. */

import { FLOAT, UINT8, product } from "../bundle/onnx_file.js";
import { InputError } from "../errors.js";
import {
  paddedBytes,
  planConv,
  planConvTranspose,
  planGemm,
  planQgemm,
  planQlinearConv,
} from "./convolution_plans.js";
import { inOrder } from "./layout.js";
import { REAL_PIXELS } from "./levels.js";
import { PLANNERS, limitsOf, toFloats } from "./operator_plans.js";
import { PlanBuilder } from "./plan_builder.js";

const BLOCK_BYTES = 1 << 20; // of the buffers, so that a block of images stays in a CPU's cache
const NO_LIMITS = { low: -Infinity, high: Infinity };

/** @type {Map<string, typeof planConv>} */
const MULTIPLY_ADDS = new Map([
  ["Conv", planConv],
  ["ConvTranspose", planConvTranspose],
  ["Gemm", planGemm],
  ["com.microsoft.QGemm", planQgemm],
  ["com.microsoft.QLinearConv", planQlinearConv],
]);

/** A graph that is ready to run. */
export class Plan {
  /**
   * @param {import("./kernels.js").Kernels} kernels with no other plan
   * @param {import("../bundle/onnx_graph.js").Step[]} steps the operators of a checked graph, at least one
   * @param {"encoder" | "decoder"} kind
   */
  constructor(kernels, steps, kind) {
    const input = steps[0].call.value;
    const output = steps[steps.length - 1].gives;
    this.kernels = kernels;
    this.inputSize = product(input.shape);
    this.outputSize = product(output.shape);
    this.kind = kind;

    const sizes = [input, ...steps.map(({ gives }) => gives)].map(({ shape }) => 4 * product(shape));
    const result = Math.max(...sizes);
    const padded = Math.max(...steps.map(paddedBytes));
    this.perBlock = Math.max(Math.floor(BLOCK_BYTES / (2 * result + padded)), 1);
    const buffers = [result, result, padded].map((size) => kernels.allocate(size * this.perBlock));

    const pixels = kind === "encoder" ? { ...input, dtype: UINT8 } : input;
    const builder = new PlanBuilder(kernels, buffers, pixels);
    this.input = builder.input;
    if (pixels.dtype !== input.dtype) {
      toFloats(builder, REAL_PIXELS);
    }
    for (let at = 0; at < steps.length; at++) {
      const multiplyAdd = MULTIPLY_ADDS.get(steps[at].operator);
      if (multiplyAdd === undefined) {
        PLANNERS.get(steps[at].operator)?.(builder, steps[at]);
        continue;
      }
      const limits = steps[at].gives.dtype === FLOAT ? limitsOf(steps[at + 1]) : undefined;
      multiplyAdd(builder, steps[at], limits ?? NO_LIMITS);
      at += limits ? 1 : 0;
    }
    builder.arrange(inOrder(output.shape));
    if (kind === "decoder" && output.dtype === FLOAT) {
      const { input: from, output: to, count } = builder;
      builder.calls.push((images) => {
        if (!kernels.call.are_finite(from, images * count)) {
          throw new InputError("latents are too large to decode: pixels overflow");
        }
      });
      builder.run("to_levels", (images) => [from, to, images * count]);
      builder.written({ dtype: UINT8 });
    }
    this.output = builder.input;
    this.calls = builder.calls;
  }

  /**
   * Return the latents of `count` images, or the images of `count` rows of latents.
   *
   * @param {Uint8Array | Float32Array} values
   * @param {number} count
   * @returns {Uint8Array} the bytes of floats or of levels
   * @throws {InputError} if the latents are so large that pixels overflow
   */
  run(values, count) {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    const itemIn = this.kind === "encoder" ? 1 : 4;
    const itemOut = 5 - itemIn;
    const [before, after] = [this.inputSize * itemIn, this.outputSize * itemOut];
    const result = new Uint8Array(count * after);
    for (let first = 0; first < count; first += this.perBlock) {
      const images = Math.min(count - first, this.perBlock);
      const block = bytes.subarray(first * before, (first + images) * before);
      this.kernels.bytes(this.input, images * before).set(block);
      for (const call of this.calls) {
        call(images);
      }
      result.set(this.kernels.bytes(this.output, images * after), first * after);
    }
    return result;
  }
}
