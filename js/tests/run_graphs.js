/**
 * For tests in Python: check graphs, and run those that have values. Standard input is a JSON list of graphs, each
 * with the bytes of a `graph` and of its `values` (null only checks it) in base64, its `kind`, the shape of an
 * `image`, the number of `latents`, and the number of `images`. Print a JSON list of results: base64, null, or
 * {error, message}.
 */

import { json } from "node:stream/consumers";

import { checkGraph, parseGraph } from "../bundle/onnx_graph.js";
import { newKernels } from "../engine/kernels.js";
import { Plan } from "../engine/plan.js";

/** @param {string} text */
function bytes(text) {
  return Uint8Array.from(Buffer.from(text, "base64"));
}

/** @param {any} given */
async function run({ graph, values, kind, image, latents, images }) {
  const steps = checkGraph(parseGraph(bytes(graph)), { kind, image, latent: latents });
  if (values === null) {
    return null;
  }
  const plan = new Plan(await newKernels(), steps, kind);
  return Buffer.from(plan.run(bytes(values), images)).toString("base64");
}

const results = [];
for (const given of /** @type {any[]} */ (await json(process.stdin))) {
  try {
    results.push(await run(given));
  } catch (error) {
    const { name, message } = /** @type {Error} */ (error);
    results.push({ error: name, message });
  }
}
process.stdout.write(JSON.stringify(results));
