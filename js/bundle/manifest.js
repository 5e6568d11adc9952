/**
 * The manifest of a bundle: its geometry, its files, and a record of how it was made and measured.
 *
 * spec/bundle.md specifies it. Its `checksum` covers everything else in it, so a changed figure is detected.
 */

import { BundleError, shown } from "../errors.js";
import { canonicalJson } from "./canonical_json.js";
import { JsonError, parseJson } from "./exact_json.js";
import { InvalidValue, arrayOf, floatOf, floatsOf, integerOf, isObject, objectOf, plain } from "./json_fields.js";
import { sha256 } from "./sha256.js";

/** @import { JsonObject } from "./exact_json.js" */

const FORMAT_VERSION = 3; // the last one that this reader knows
export const MANIFEST_NAME = "manifest.json";
export const PRIOR_NAME = "prior.safetensors";
export const GOLDEN_NAME = "golden.safetensors";
export const GRAPH_NAMES = ["encoder.onnx", "decoder.onnx", "encoder.fp32.onnx", "decoder.fp32.onnx"];
export const QUALITIES = 9;

const FILE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
const SHA256 = /^[0-9a-f]{64}$/;
const MAX_SIDE = 4096;
const MAX_PIXELS = 2 ** 26;
const MAX_LATENTS = 65536;
const MAX_CODED_LATENTS = 16383; // in .fmae files: a payload of 4 bytes per latent and 1 has at most 65,535
const MAX_FILE_BYTES = 2 ** 30;
const MAX_UNITS = 4096; // of a quality's step
const MAX_UNIT = 1e24; // the largest latent of any file is a finite float32
const MAX_FLOOR = 200; // dB, in absolute value
const [MIN_STEP, MAX_STEP] = [1e-38, 1e36];

/**
 * The quantisers of .fmae files: a symbol times `steps[quality - 1]` times `unit` is the latent value. `bitCosts`
 * and `contrastFloors`, which older bundles do not have, help encoders that search.
 *
 * @typedef {object} Qualities
 * @property {number} unit
 * @property {readonly number[]} steps
 * @property {readonly number[]} bitCosts
 * @property {readonly number[] | null} contrastFloors in dB
 */

/**
 * The content of manifest.json. `latentSteps` has the quantiser step of each latent for int8 latents in .npy
 * files. `qualities` is null in bundles that make no .fmae files. `record` is for people: nothing in it changes
 * results.
 *
 * @typedef {object} Manifest
 * @property {number} formatVersion
 * @property {string} name
 * @property {number} imageChannels
 * @property {number} imageHeight
 * @property {number} imageWidth
 * @property {number} latentSize the number of latent values of one image
 * @property {readonly number[]} latentSteps
 * @property {Qualities | null} qualities
 * @property {ReadonlyMap<string, FileEntry>} files size in bytes and SHA-256 of each file, by its name
 * @property {Record<string, unknown>} record
 * @property {string} bundleId 16 hexadecimal digits, computed: a hash over what decoding depends on
 *
 * @typedef {{ size: number, sha256: string }} FileEntry
 */

/**
 * Parse `manifest.json`.
 *
 * @param {Uint8Array} content
 * @param {string} where names the bundle in messages
 * @returns {Promise<Manifest>}
 * @throws {BundleError} if the content is not a manifest, was altered, or has a newer format version
 */
export async function parseManifest(content, where) {
  const manifest = parseObject(content, where);
  const version = manifest.format_version;
  if (typeof version !== "bigint" || version < 1n) {
    const expected = "expected an integer of 1 or more";
    throw new BundleError(`${where}: ${MANIFEST_NAME} has format_version ${shown(version)}; ${expected}`);
  }
  if (version > FORMAT_VERSION) {
    throw new BundleError(
      `${where}: its format version is ${version}, but this fmae-edge reads versions up to ${FORMAT_VERSION}: ` +
        "upgrade fmae-edge",
    );
  }
  const { checksum, ...covered } = manifest;
  if (checksum !== (await hashOf(covered))) {
    throw new BundleError(
      `${where}: ${MANIFEST_NAME} does not match its own checksum, so it was altered or damaged: ` +
        "export the bundle again or get a fresh copy",
    );
  }
  try {
    const fields = fieldsOf(manifest, where);
    return { formatVersion: Number(version), ...fields, bundleId: await bundleIdOf(fields) };
  } catch (error) {
    if (!(error instanceof InvalidValue)) {
      throw error;
    }
    throw new BundleError(`${where}: ${MANIFEST_NAME} is incomplete or invalid (${error.message})`);
  }
}

/**
 * @param {Uint8Array} content
 * @param {string} where
 */
function parseObject(content, where) {
  let value;
  try {
    value = parseJson(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(content));
  } catch (error) {
    if (!(error instanceof JsonError || error instanceof TypeError)) {
      throw error;
    }
    const problem = error instanceof JsonError ? error.message : "not UTF-8";
    throw new BundleError(`${where}: ${MANIFEST_NAME} is not valid JSON (${problem})`);
  }
  if (!isObject(value)) {
    throw new BundleError(`${where}: ${MANIFEST_NAME} must be a JSON object`);
  }
  return value;
}

/**
 * @param {JsonObject} manifest whose checksum matches
 * @param {string} where
 * @returns {Omit<Manifest, "bundleId" | "formatVersion">}
 * @throws {InvalidValue | BundleError}
 */
function fieldsOf(manifest, where) {
  const image = objectOf(manifest, "image");
  const [imageChannels, imageHeight, imageWidth] = ["channels", "height", "width"].map((side) =>
    integerOf(image[side], `image.${side}`, 1, MAX_SIDE),
  );
  const pixels = imageChannels * imageHeight * imageWidth;
  if (pixels > MAX_PIXELS) {
    throw new InvalidValue(`images of ${pixels} numbers; at most ${MAX_PIXELS} are allowed`);
  }
  const latentSteps = floatsOf(objectOf(manifest, "latent").steps, "latent.steps", MIN_STEP, MAX_STEP);
  const files = filesOf(objectOf(manifest, "files"));
  const isCoded = "qualities" in manifest;
  for (const name of isCoded ? [...GRAPH_NAMES, PRIOR_NAME] : GRAPH_NAMES) {
    if (!files.has(name)) {
      throw new InvalidValue(`files has no ${name}`);
    }
  }
  const latentSize = latentSteps.length;
  if (isCoded && latentSize > MAX_CODED_LATENTS) {
    throw new BundleError(
      `${where}: has ${latentSize} latents per image; .fmae files can hold at most ${MAX_CODED_LATENTS}`,
    );
  }
  if (latentSize < 1 || latentSize > MAX_LATENTS) {
    throw new InvalidValue(`latent.steps has ${latentSize} numbers; expected 1 to ${MAX_LATENTS}`);
  }
  const { name } = manifest;
  if (typeof name !== "string") {
    throw new InvalidValue(`name is ${shown(name)}; expected a string`);
  }
  const record = /** @type {Record<string, unknown>} */ (plain(objectOf(manifest, "record")));
  const qualities = isCoded ? qualitiesOf(objectOf(manifest, "qualities")) : null;
  return { name, imageChannels, imageHeight, imageWidth, latentSize, latentSteps, qualities, files, record };
}

/** @param {JsonObject} entries */
function filesOf(entries) {
  /** @type {Map<string, FileEntry>} */
  const files = new Map();
  for (const name of Object.keys(entries)) {
    if (!FILE_NAME.test(name)) {
      throw new InvalidValue(`files has the name ${shown(name)}`);
    }
    const entry = objectOf(entries, name);
    const size = integerOf(entry.size, `the size of ${name}`, 0, MAX_FILE_BYTES);
    const hash = entry.sha256;
    if (typeof hash !== "string" || !SHA256.test(hash)) {
      throw new InvalidValue(`the sha256 of ${name} is ${shown(hash)}; expected 64 hexadecimal digits`);
    }
    files.set(name, { size, sha256: hash });
  }
  return files;
}

/**
 * @param {JsonObject} content
 * @returns {Qualities}
 */
function qualitiesOf(content) {
  const steps = nineOf(arrayOf(content.steps, "qualities.steps"), "qualities.steps").map((step) =>
    integerOf(step, "a step of qualities.steps", 1, MAX_UNITS),
  );
  const costs = floatsOf(content.bit_costs, "qualities.bit_costs", 0, 1);
  const floors =
    "contrast_floors" in content
      ? floatsOf(content.contrast_floors, "qualities.contrast_floors", -MAX_FLOOR, MAX_FLOOR)
      : null;
  return {
    unit: floatOf(content.unit, "qualities.unit", MIN_STEP, MAX_UNIT),
    steps,
    bitCosts: nineOf(costs, "qualities.bit_costs"),
    contrastFloors: floors && nineOf(floors, "qualities.contrast_floors"),
  };
}

/**
 * @template Item
 * @param {Item[]} values
 * @param {string} what
 */
function nineOf(values, what) {
  if (values.length === QUALITIES) {
    return values;
  }
  throw new InvalidValue(`${what} has ${values.length} numbers; expected ${QUALITIES}`);
}

/** @param {Omit<Manifest, "bundleId" | "formatVersion">} fields */
async function bundleIdOf({ imageChannels, imageHeight, imageWidth, latentSteps, qualities, files }) {
  const hashOfFile = (/** @type {string} */ name) => files.get(name)?.sha256 ?? null;
  /** @type {JsonObject} */
  const decides = {
    decoders: ["decoder.onnx", "decoder.fp32.onnx"].map(hashOfFile),
    image: [imageChannels, imageHeight, imageWidth].map(BigInt),
    steps: [...latentSteps],
  };
  if (qualities !== null) {
    decides.prior = hashOfFile(PRIOR_NAME);
    decides.qualities = [qualities.unit, ...qualities.steps.map(BigInt)];
  }
  return (await hashOf(decides)).slice(0, 16);
}

/** @param {JsonObject} value */
function hashOf(value) {
  return sha256(new TextEncoder().encode(canonicalJson(value)));
}
