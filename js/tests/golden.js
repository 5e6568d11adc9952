/** The golden files of spec/golden, for the tests of each folder. */

import { readFileSync } from "node:fs";

import { Prior } from "../entropy/prior.js";

const FOLDER = new URL("../../spec/golden/", import.meta.url);

/** @param {string} path below spec/golden */
export function goldenBytes(path) {
  return new Uint8Array(readFileSync(new URL(path, FOLDER)));
}

/** @param {string} folder below spec/golden */
export function goldenFiles(folder) {
  return JSON.parse(new TextDecoder().decode(goldenBytes(`${folder}/files.json`)));
}

/** @param {string} text hexadecimal digits */
export function fromHex(text) {
  return new Uint8Array(Buffer.from(text, "hex"));
}

/** @param {Uint8Array} bytes */
export function toHex(bytes) {
  return Buffer.from(bytes).toString("hex");
}

const FORMAT_1 = goldenFiles("format-1");

export const BUNDLE = FORMAT_1.bundle_id;
export const LATENTS = FORMAT_1.latents;
export const STEPS = FORMAT_1.steps;
/** The golden files whose images are all coded as symbols of one quality. */
export const FILES = [...FORMAT_1.files, ...goldenFiles("format-2").files];

/** @param {string} name "network" or "tables" */
export function goldenPrior(name) {
  return Prior.parse(goldenBytes(`format-1/${name}.safetensors`), LATENTS, STEPS);
}
