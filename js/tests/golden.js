/** The golden files of spec/golden, and comparisons, for tests that run in Node and in browsers. */

import { Prior } from "../entropy/prior.js";

/** @typedef {(path: string) => Promise<Uint8Array>} Read returns a file by its path in the repository */
/** @typedef {Awaited<ReturnType<typeof loadGolden>>} Golden */

/**
 * Return the golden files, with their two priors.
 *
 * @param {Read} read
 */
export async function loadGolden(read) {
  /** @param {string} folder */
  const files = async (folder) => JSON.parse(await text(read, `spec/golden/${folder}/files.json`));
  const first = await files("format-1");
  /** @param {string} name */
  const prior = async (name) => {
    return Prior.parse(await read(`spec/golden/format-1/${name}.safetensors`), first.latents, first.steps);
  };
  const { payloads, packets } = await files("packets");
  return {
    bundleId: /** @type {string} */ (first.bundle_id),
    latents: /** @type {number} */ (first.latents),
    steps: /** @type {number[]} */ (first.steps),
    /** Files of symbols of one quality. */
    files: /** @type {any[]} */ ([...first.files, ...(await files("format-2")).files]),
    /** Files of lossless images, and of images with their own qualities. */
    lossless: /** @type {any[]} */ ((await files("format-3")).files),
    payloads: /** @type {any[]} */ (payloads),
    packets: /** @type {any[]} */ (packets),
    priors: /** @type {Record<string, Prior>} */ ({
      network: await prior("network"),
      tables: await prior("tables"),
    }),
  };
}

/**
 * @param {Read} read
 * @param {string} path
 */
export async function text(read, path) {
  return new TextDecoder().decode(await read(path));
}

/** @param {string} digits hexadecimal */
export function fromHex(digits) {
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** @param {Uint8Array} bytes */
export function toHex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Compare values as JSON, with typed arrays as lists.
 *
 * @param {unknown} found
 * @param {unknown} expected
 * @param {string} [what]
 */
export function assertSame(found, expected, what = "value") {
  const [one, other] = [found, expected].map((value) => {
    return JSON.stringify(value, (_, each) => (ArrayBuffer.isView(each) ? [.../** @type {any} */ (each)] : each));
  });
  if (one !== other) {
    throw new Error(`${what}: found ${one.slice(0, 500)}, expected ${other.slice(0, 500)}`);
  }
}

/**
 * Return the class and the sentence of the FmaeError that a call throws, null if it returns.
 *
 * @param {() => unknown} call
 * @param {typeof import("../errors.js").FmaeError} kind
 */
export function refusal(call, kind) {
  try {
    call();
    return null;
  } catch (error) {
    if (error instanceof kind) {
      return error.message;
    }
    throw error;
  }
}
