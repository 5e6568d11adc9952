/**
 * Run the graphs of a bundle in onnxruntime-web: its WASM provider, on one thread.
 *
 * onnxruntime-web and its WASM are loaded when the first graph is needed, and a graph only when it runs.
 */

import { UINT8 } from "../bundle/onnx_file.js";
import { BundleError, FmaeError, InputError, ResourceError, messageOf } from "../errors.js";
import { asPrecision } from "./engine.js";
import { areFinite, toLevels, toReals } from "./levels.js";
import { LoadedGraphs } from "./loaded_graphs.js";

/** @import { Bundle } from "../bundle/bundle.js" */
/** @import { Engine, Precision } from "./engine.js" */
/** @import { CheckedGraph } from "./loaded_graphs.js" */
/** @typedef {typeof import("onnxruntime-web/wasm")} Onnxruntime */

const NUMBERS_PER_RUN = 16 * 28 * 28; // bounds memory; more images per call are hardly faster
const MAX_IMAGES_PER_RUN = 16;
const NO_MEMORY = /bad_alloc|out of memory|could not allocate|failed to allocate|allocation failed/i;

/**
 * A loaded graph: `dtype` is the type of its images.
 *
 * @typedef {object} Graph
 * @property {import("onnxruntime-web/wasm").InferenceSession} session
 * @property {"uint8" | "float32"} dtype
 * @property {string} where names it in messages
 */

/**
 * Return an engine that runs the graphs of a bundle in onnxruntime-web.
 *
 * @param {Bundle} bundle
 * @param {object} [options]
 * @param {Precision} [options.precision] "int8" (the default) gives the files that Python gives; "fp32" is
 *   faster
 * @param {Onnxruntime} [options.ort] the module of onnxruntime-web, for pages without an import map; the default
 *   is `import("onnxruntime-web/wasm")`
 * @param {string} [options.wasmPaths] the URL of the folder with the files of onnxruntime-web's WASM; the default
 *   is the folder of its module
 * @returns {Promise<Engine>}
 * @throws {InputError} if `precision` is another value
 */
export async function createEngine(bundle, { precision = "int8", ort, wasmPaths } = {}) {
  return new OnnxruntimeEngine(bundle, asPrecision(precision), ort, wasmPaths);
}

/** @implements {Engine} */
class OnnxruntimeEngine {
  /** @type {Promise<Onnxruntime> | undefined} */
  #ort;
  /** @type {Promise<unknown>} */
  #running = Promise.resolve();

  /**
   * @param {Bundle} bundle
   * @param {Precision} precision
   * @param {Onnxruntime} [ort]
   * @param {string} [wasmPaths]
   */
  constructor(bundle, precision, ort, wasmPaths) {
    this.bundle = bundle;
    this.graphs = new LoadedGraphs(bundle, precision, (graph) => this.#load(graph));
    this.given = { ort, wasmPaths };
    const { imageChannels, imageHeight, imageWidth, latentSize } = bundle.manifest;
    this.image = [imageChannels, imageHeight, imageWidth];
    this.pixels = imageChannels * imageHeight * imageWidth;
    this.latents = latentSize;
    this.perRun = Math.max(1, Math.min(MAX_IMAGES_PER_RUN, Math.floor(NUMBERS_PER_RUN / this.pixels)));
  }

  /**
   * @param {Uint8Array} pixels (n, channels, height, width)
   * @param {number} n
   * @returns {Promise<Float32Array>} latents (n, latents)
   * @throws {BundleError} if the graph is refused or fails, or returns NaN or infinity
   */
  async encode(pixels, n) {
    const graph = await this.graphs.get("encoder");
    const values = new Float32Array(n * this.latents);
    for (let first = 0; first < n; first += this.perRun) {
      const images = Math.min(this.perRun, n - first);
      const levels = pixels.subarray(first * this.pixels, (first + images) * this.pixels);
      const input = graph.dtype === "uint8" ? levels : toReals(levels);
      const output = await this.#run(
        graph,
        "image",
        input,
        [images, ...this.image],
        "latent",
        images * this.latents,
      );
      values.set(/** @type {Float32Array} */ (output), first * this.latents);
    }
    if (!areFinite(values)) {
      throw new BundleError(`${this.bundle.where}: its encoder returns latents that are NaN or infinite`);
    }
    return values;
  }

  /**
   * @param {Float32Array} latents (n, latents)
   * @param {number} n
   * @returns {Promise<Uint8Array>} levels (n, channels, height, width)
   * @throws {BundleError} if the graph is refused or fails
   * @throws {InputError} if the latents are so large that pixels overflow
   */
  async decode(latents, n) {
    const graph = await this.graphs.get("decoder");
    const levels = new Uint8Array(n * this.pixels);
    for (let first = 0; first < n; first += this.perRun) {
      const images = Math.min(this.perRun, n - first);
      const input = latents.subarray(first * this.latents, (first + images) * this.latents);
      const shape = [images, this.latents];
      let output = await this.#run(graph, "latent", input, shape, "image", images * this.pixels);
      if (output instanceof Float32Array) {
        if (!areFinite(output)) {
          throw new InputError("latents are too large to decode: pixels overflow");
        }
        output = toLevels(output);
      }
      levels.set(output, first * this.pixels);
    }
    return levels;
  }

  /** Free the memory of the graphs. A later call loads them again. */
  async close() {
    const graphs = this.graphs.clear();
    await this.#running.catch(() => {});
    for (const graph of await Promise.allSettled(graphs)) {
      if (graph.status === "fulfilled") {
        await graph.value.session.release();
      }
    }
  }

  /**
   * @param {CheckedGraph} checked
   * @returns {Promise<Graph>}
   */
  async #load({ kind, content, steps, where }) {
    const { dtype } = kind === "encoder" ? steps[0].call.value : steps[steps.length - 1].gives; // of images
    const ort = await this.#onnxruntime();
    try {
      const session = await ort.InferenceSession.create(content, {
        executionProviders: ["wasm"],
        logSeverityLevel: 4, // crashes only: errors are thrown as exceptions too
        // Otherwise, bytes that begin like onnxruntime's own format would be loaded as such, which nothing here
        // checks
        extra: { session: { load_model_format: "ONNX" } },
      });
      return { session, dtype: dtype === UINT8 ? "uint8" : "float32", where };
    } catch (error) {
      throw failure(error, `${where} cannot be loaded by onnxruntime-web ${ort.env.versions.web ?? ""}`.trimEnd());
    }
  }

  #onnxruntime() {
    this.#ort ??= this.#importOnnxruntime();
    this.#ort.catch(() => (this.#ort = undefined));
    return this.#ort;
  }

  async #importOnnxruntime() {
    let { ort } = this.given;
    try {
      ort ??= await import("onnxruntime-web/wasm");
    } catch (error) {
      throw new FmaeError(
        `onnxruntime-web cannot be loaded (${messageOf(error)}): install it (npm install onnxruntime-web), add ` +
          "it to the import map of the page, or pass its module as the option ort",
      );
    }
    ort.env.wasm.numThreads = 1; // more need COOP and COEP headers
    if (this.given.wasmPaths !== undefined) {
      ort.env.wasm.wasmPaths = this.given.wasmPaths;
    }
    return ort;
  }

  /**
   * Return the output of a graph, a copy. Calls wait for each other: a session runs one at a time.
   *
   * @param {Graph} graph
   * @param {string} takes the name of its input
   * @param {Uint8Array | Float32Array} values
   * @param {number[]} shape
   * @param {string} gives the name of its output
   * @param {number} size of the output
   * @returns {Promise<Uint8Array | Float32Array>}
   */
  async #run({ session, dtype, where }, takes, values, shape, gives, size) {
    const { Tensor } = await this.#onnxruntime();
    const run = this.#running.then(async () => {
      const outputs = await session.run({ [takes]: new Tensor(values, shape) });
      return /** @type {Uint8Array | Float32Array} */ (await outputs[gives].getData(true));
    });
    this.#running = run.catch(() => {});
    let output;
    try {
      output = await run;
    } catch (error) {
      throw failure(error, `${where} fails in onnxruntime-web`);
    }
    const expected = gives === "image" && dtype === "uint8" ? Uint8Array : Float32Array;
    if (!(output instanceof expected) || output.length !== size) {
      throw new BundleError(`${where} returns ${output.length} numbers; expected ${size}`);
    }
    return output;
  }
}

/**
 * @param {unknown} error that onnxruntime-web threw
 * @param {string} what
 */
function failure(error, what) {
  const message = messageOf(error);
  return NO_MEMORY.test(message)
    ? new ResourceError(`${what}: out of memory`)
    : new BundleError(`${what}: ${message}`);
}
