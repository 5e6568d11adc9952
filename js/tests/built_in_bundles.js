/** The bundles in the Python package, for the tests of engines. */

import { readFileSync } from "node:fs";

import { readTensors } from "../bundle/safetensors.js";

const FOLDER = new URL("../../fmae_edge/bundles/", import.meta.url);

/** @param {string} name "default" or "detail" */
export function builtIn(name) {
  const folder = new URL(`${name}/`, FOLDER);
  /** @param {string} file */
  const read = (file) => new Uint8Array(readFileSync(new URL(file, folder)));
  const golden = readTensors(read("golden.safetensors"), name, { floats: true });
  return {
    manifest: JSON.parse(readFileSync(new URL("manifest.json", folder), "utf8")),
    file: async (/** @type {string} */ file) => read(file),
    /**
     * @param {string} tensor
     * @returns {any} its numbers
     */
    golden: (tensor) => golden.get(tensor)?.data,
  };
}
