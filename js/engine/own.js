/** An engine of a few kilobytes: it runs the graphs of a bundle without onnxruntime. */

import { checkGraph, parseGraph } from "../bundle/onnx_graph.js";
import { ResourceError } from "../errors.js";
import { newKernels } from "./kernels.js";
import { Plan } from "./plan.js";

/**
 * @typedef {object} GraphSource what an engine needs of a bundle
 * @property {{ imageChannels: number, imageHeight: number, imageWidth: number, latentSize: number }} manifest
 * @property {(name: string) => Promise<Uint8Array>} file
 *
 * @typedef {"int8" | "fp32"} Precision
 */

/** The encoder and the decoder of a bundle; each is loaded at its first use. */
export class OwnEngine {
  /**
   * @param {GraphSource} bundle
   * @param {Precision} precision
   */
  constructor(bundle, precision) {
    this.bundle = bundle;
    this.precision = precision;
    /** @type {Map<string, Promise<Plan>>} */
    this.plans = new Map();
  }

  /**
   * Return the latents of images.
   *
   * @param {Uint8Array} pixels (n, channels, height, width)
   * @param {number} n
   * @returns {Promise<Float32Array>} (n, latents)
   */
  async encode(pixels, n) {
    const plan = await this.plan("encoder");
    return new Float32Array(plan.run(pixels, n).buffer);
  }

  /**
   * Return the images of latents.
   *
   * @param {Float32Array} latents (n, latents)
   * @param {number} n
   * @returns {Promise<Uint8Array>} (n, channels, height, width)
   */
  async decode(latents, n) {
    const plan = await this.plan("decoder");
    return plan.run(latents, n);
  }

  /** Free the engine's memory. */
  async close() {
    this.plans.clear();
  }

  /** @param {"encoder" | "decoder"} kind */
  plan(kind) {
    let plan = this.plans.get(kind);
    if (plan === undefined) {
      plan = this.load(kind);
      this.plans.set(kind, plan);
      plan.catch(() => this.plans.delete(kind)); // memory may be free later
    }
    return plan;
  }

  /** @param {"encoder" | "decoder"} kind */
  async load(kind) {
    const name = this.precision === "int8" ? `${kind}.onnx` : `${kind}.fp32.onnx`;
    const { imageChannels, imageHeight, imageWidth, latentSize: latent } = this.bundle.manifest;
    const graph = parseGraph(await this.bundle.file(name), name);
    const image = [imageChannels, imageHeight, imageWidth];
    const steps = checkGraph(graph, { image, latent, kind, where: name });
    const kernels = await newKernels();
    try {
      return new Plan(kernels, steps, kind);
    } catch (error) {
      // JavaScript has no other sign of a lack of memory
      throw error instanceof RangeError ? new ResourceError(`${name} needs more memory than there is`) : error;
    }
  }
}

/**
 * @param {GraphSource} bundle
 * @param {{ precision: Precision }} options
 */
export async function createEngine(bundle, { precision }) {
  return new OwnEngine(bundle, precision);
}
