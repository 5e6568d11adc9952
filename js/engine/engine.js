/** What a codec needs of an engine, so that each can be replaced by another. */

import { ArgumentError, shown } from "../errors.js";

/**
 * @typedef {"int8" | "fp32"} Precision which graphs of a bundle to run
 *
 * @typedef {object} Engine
 * @property {(pixels: Uint8Array, n: number) => Promise<Float32Array>} encode levels (n, channels, height, width)
 *   to latents (n, latents)
 * @property {(latents: Float32Array, n: number) => Promise<Uint8Array>} decode latents to levels
 * @property {() => Promise<void>} close free the engine's memory
 *
 * @typedef {(bundle: import("../bundle/bundle.js").Bundle, options: { precision: Precision }) => Promise<Engine>}
 *   CreateEngine
 */

/** @type {Record<Precision, { encoder: string, decoder: string }>} */
export const GRAPHS = {
  int8: { encoder: "encoder.onnx", decoder: "decoder.onnx" },
  fp32: { encoder: "encoder.fp32.onnx", decoder: "decoder.fp32.onnx" },
};

/**
 * @param {unknown} precision
 * @returns {Precision}
 * @throws {ArgumentError} if it is not one of GRAPHS
 */
export function asPrecision(precision) {
  if (precision === "int8" || precision === "fp32") {
    return precision;
  }
  throw new ArgumentError(
    "precision",
    `is ${shown(precision)}; expected one of ${Object.keys(GRAPHS).join(", ")}`,
  );
}
