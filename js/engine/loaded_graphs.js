/** The graphs of a bundle, for any engine: each is checked, then loaded, when it first runs. */

import { checkGraph, parseGraph } from "../bundle/onnx_graph.js";
import { GRAPHS } from "./engine.js";

/** @import { Bundle } from "../bundle/bundle.js" */
/** @import { Step } from "../bundle/onnx_graph.js" */
/** @import { Precision } from "./engine.js" */

/**
 * A graph that is safe to run: the bytes of its file, and its operators, at least one. `where` names it in
 * messages.
 *
 * @typedef {"encoder" | "decoder"} Kind
 * @typedef {{ kind: Kind, content: Uint8Array, steps: Step[], where: string }} CheckedGraph
 */

/**
 * The encoder and the decoder of a bundle.
 *
 * @template Loaded what an engine makes of a graph
 */
export class LoadedGraphs {
  /** @type {Map<Kind, Promise<Loaded>>} */
  #loading = new Map();

  /**
   * @param {Bundle} bundle
   * @param {Precision} precision
   * @param {(graph: CheckedGraph) => Promise<Loaded>} load
   */
  constructor(bundle, precision, load) {
    this.bundle = bundle;
    this.precision = precision;
    this.load = load;
  }

  /**
   * @param {Kind} kind
   * @returns {Promise<Loaded>}
   * @throws {BundleError} if the graph is missing, damaged or refused
   */
  async get(kind) {
    const loading = this.#loading.get(kind) ?? this.#checkAndLoad(kind);
    this.#loading.set(kind, loading);
    try {
      return await loading;
    } catch (error) {
      this.#loading.delete(kind); // a later call may succeed, for example with a new connection
      throw error;
    }
  }

  /** Forget the graphs, and return those that were loaded or are being loaded. A later call loads them again. */
  clear() {
    const graphs = [...this.#loading.values()];
    this.#loading.clear();
    return graphs;
  }

  /** @param {Kind} kind */
  async #checkAndLoad(kind) {
    const name = GRAPHS[this.precision][kind];
    const where = `${this.bundle.where}: ${name}`;
    const { imageChannels, imageHeight, imageWidth, latentSize } = this.bundle.manifest;
    const image = [imageChannels, imageHeight, imageWidth];
    const content = await this.bundle.file(name);
    const steps = checkGraph(parseGraph(content, where), { image, latent: latentSize, kind, where });
    return this.load({ kind, content, steps, where });
  }
}
