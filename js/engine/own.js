/**
 * Run the graphs of a bundle without onnxruntime-web, with kernels of a few kB.
 *
 * A graph is loaded when it first runs. The int8 graphs return what onnxruntime returns in Python, but
 * layers in float32 add in another order, so now and then a sum is rounded to the other of two numbers.
 */

import { BundleError, ResourceError } from "../errors.js";
import { asPrecision } from "./engine.js";
import { newKernels } from "./kernels.js";
import { areFinite } from "./levels.js";
import { LoadedGraphs } from "./loaded_graphs.js";
import { Plan } from "./plan.js";

/** @import { Bundle } from "../bundle/bundle.js" */
/** @import { Engine, Precision } from "./engine.js" */
/** @import { CheckedGraph } from "./loaded_graphs.js" */

/**
 * Return an engine that runs the graphs of a bundle.
 *
 * @param {Bundle} bundle
 * @param {object} [options]
 * @param {Precision} [options.precision] "int8" (the default) gives the files that Python gives
 * @returns {Promise<Engine>}
 * @throws {InputError} if `precision` is another value
 */
export async function createEngine(bundle, { precision = "int8" } = {}) {
  return new OwnEngine(bundle, asPrecision(precision));
}

/** @implements {Engine} */
class OwnEngine {
  /**
   * @param {Bundle} bundle
   * @param {Precision} precision
   */
  constructor(bundle, precision) {
    this.bundle = bundle;
    this.plans = new LoadedGraphs(bundle, precision, newPlan);
  }

  /**
   * @param {Uint8Array} pixels (n, channels, height, width)
   * @param {number} n
   * @returns {Promise<Float32Array>} latents (n, latents)
   * @throws {BundleError} if the graph is refused, or returns NaN or infinity
   */
  async encode(pixels, n) {
    const plan = await this.plans.get("encoder");
    const latents = new Float32Array(plan.run(pixels, n).buffer);
    if (!areFinite(latents)) {
      throw new BundleError(`${this.bundle.where}: its encoder returns latents that are NaN or infinite`);
    }
    return latents;
  }

  /**
   * @param {Float32Array} latents (n, latents)
   * @param {number} n
   * @returns {Promise<Uint8Array>} levels (n, channels, height, width)
   * @throws {BundleError} if the graph is refused
   * @throws {InputError} if the latents are so large that pixels overflow
   */
  async decode(latents, n) {
    const plan = await this.plans.get("decoder");
    return plan.run(latents, n);
  }

  /** Free the memory of the graphs. A later call loads them again. */
  async close() {
    this.plans.clear();
  }
}

/** @param {CheckedGraph} graph */
async function newPlan({ kind, steps, where }) {
  const kernels = await newKernels();
  try {
    return new Plan(kernels, steps, kind);
  } catch (error) {
    // JavaScript has no other sign of a lack of memory
    throw error instanceof RangeError ? new ResourceError(`${where}: out of memory`) : error;
  }
}
