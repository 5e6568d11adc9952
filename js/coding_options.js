/** Check the options of a codec's methods. */

import { asInteger, asQuality } from "./arguments.js";
import { ArgumentError, shown } from "./errors.js";

const DEFAULT_QUALITY = 5;
export const COMPRESS_OPTIONS = ["quality", "effort", "maxBytes", "minPsnr", "bare"];
export const DECOMPRESS_OPTIONS = ["maxImages", "bare", "quality"];

/**
 * Options of `compress`. `quality` is 1 (fewest bytes) to 9, by default 5. `maxBytes` or `minPsnr` may choose it
 * instead. `effort` can only be 0. With `bare`, the result is the payload without a file around it.
 *
 * @typedef {object} CompressOptions
 * @property {number} [quality]
 * @property {number} [effort]
 * @property {number} [maxBytes]
 * @property {number} [minPsnr] in dB
 * @property {boolean} [bare]
 *
 * Options of `decompress`. `maxImages` bounds the time that a file may take. With `bare`, the content is a payload
 * of that `quality`.
 *
 * @typedef {object} DecompressOptions
 * @property {number} [maxImages]
 * @property {boolean} [bare]
 * @property {number} [quality] 1 to 9
 *
 * @typedef {{ quality: number, maxBytes: number | null, minPsnr: number | null, bare: boolean }} Coding
 */

/**
 * Return the options of a call. A misspelt option, or a value in place of options, would otherwise be ignored.
 *
 * @template {object} Options
 * @param {Options} options
 * @param {readonly string[]} names of the options that the call has
 * @returns {Options}
 * @throws {ArgumentError} if they are not an object, or have another name
 */
export function asOptions(options, names) {
  const expected = `expected an object with ${names.join(", ")}`;
  if (typeof options !== "object" || options === null) {
    throw new ArgumentError("options", `are ${shown(options)}; ${expected}`);
  }
  for (const name of Object.keys(options)) {
    if (!names.includes(name)) {
      throw new ArgumentError("options", `have ${shown(name)}; ${expected}`);
    }
  }
  return options;
}

/**
 * Return the options of `compress`, checked.
 *
 * @param {CompressOptions} options
 * @returns {Coding}
 * @throws {ArgumentError} if one is out of range, or if they contradict each other
 */
export function asCoding(options) {
  const { quality, effort = 0, maxBytes, minPsnr, bare = false } = asOptions(options, COMPRESS_OPTIONS);
  if (effort !== 0) {
    throw new ArgumentError(
      "effort",
      `is ${shown(effort)}; expected 0, because only the Python package searches for fewer bytes`,
    );
  }
  const isBare = asFlag("bare", bare);
  if (minPsnr !== undefined) {
    requireNumberAboveZero("minPsnr", minPsnr);
    for (const [other, value] of [
      ["a quality", quality],
      ["a limit of bytes", maxBytes],
    ]) {
      if (value !== undefined) {
        throw new ArgumentError("minPsnr", `chooses the quality; use it or ${other}, not both`);
      }
    }
  }
  for (const [name, value] of Object.entries({ maxBytes, minPsnr })) {
    if (isBare && value !== undefined) {
      throw new ArgumentError(name, "chooses the quality, which a bare payload does not contain; use a quality");
    }
  }
  return {
    quality: quality === undefined ? DEFAULT_QUALITY : asQuality(quality),
    maxBytes: maxBytes === undefined ? null : asInteger("maxBytes", maxBytes),
    minPsnr: minPsnr ?? null,
    bare: isBare,
  };
}

/**
 * Return the quality of bare payloads, null for the content of a .fmae file.
 *
 * @param {DecompressOptions} options
 * @returns {number | null}
 * @throws {ArgumentError} if one is invalid or missing
 */
export function asBareQuality(options) {
  const { bare = false, quality } = asOptions(options, DECOMPRESS_OPTIONS);
  if (!asFlag("bare", bare)) {
    if (quality !== undefined) {
      throw new ArgumentError("quality", "is for bare payloads (bare: true); a .fmae file contains its quality");
    }
    return null;
  }
  if (quality === undefined) {
    throw new ArgumentError(
      "quality",
      "is missing; bare payloads need the quality that they were compressed with",
    );
  }
  return asQuality(quality);
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {boolean}
 * @throws {ArgumentError} if it is neither true nor false
 */
export function asFlag(name, value) {
  if (typeof value === "boolean") {
    return value;
  }
  throw new ArgumentError(name, `is ${shown(value)}; expected true or false`);
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function requireNumberAboveZero(name, value) {
  if (!(typeof value === "number" && value > 0)) {
    throw new ArgumentError(name, `is ${shown(value)}; expected a number of dB above 0`);
  }
}
