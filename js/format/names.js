/**
 * Check the names of images in a .fmae file: relative paths whose parts are valid file names on any system.
 *
 * The rule is a list of code points, the same as in spec/format.md, so it does not depend on the version of
 * Unicode that a browser knows.
 */

import { InputError, kindOf, shown } from "../errors.js";

const ENCODER = new TextEncoder();
const MAX_PART_BYTES = 200;
const MAX_NAME_BYTES = 1000;
const CONTROLS = "\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029";
const SPECIAL_ON_WINDOWS = '<>:"|?*\\\\';
const BIDIRECTIONAL = "\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069";
const INVISIBLE =
  "\\u00ad\\u034f\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200d\\u2060-\\u2065\\u206a-\\u206f" +
  "\\u3164\\ufeff\\uffa0\\ufff0-\\ufffb\\u{1bca0}-\\u{1bca3}\\u{1d173}-\\u{1d17a}\\u{e0000}-\\u{e0fff}";
const SURROGATES = "\\ud800-\\udfff";
const REFUSED = new RegExp(`[${CONTROLS}${SPECIAL_ON_WINDOWS}${BIDIRECTIONAL}${INVISIBLE}${SURROGATES}]`, "u");
// Only A to Z match in either case: without the flag u, no letter outside ASCII matches one inside
const DEVICE = /^(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3]) *(?:\.[^]*)?$/i;

/**
 * Return `names` as an array, in the same order.
 *
 * @param {unknown} names
 * @param {number} images
 * @param {{ paths?: boolean }} [options] without `paths`, no name may contain a `/`
 * @returns {string[]}
 * @throws {InputError} if they are not an array of different names, one per image, that spec/format.md allows
 */
export function asNames(names, images, { paths = true } = {}) {
  if (!Array.isArray(names)) {
    throw new InputError(`expected a list of ${images} names, got ${kindOf(names)}`);
  }
  if (names.length !== images) {
    throw new InputError(`expected a list of ${images} names, one per image, got ${names.length}`);
  }
  /** @type {string[]} */
  const listed = [];
  for (const name of names) {
    if (typeof name !== "string") {
      throw new InputError(`${shown(name)} is not a name; expected a string`);
    }
    const problem = problemOf(name, paths);
    if (problem) {
      throw new InputError(`${shown(name)} cannot be the name of an image: ${problem}`);
    }
    listed.push(name);
  }
  requireDifferent(listed);
  return listed;
}

/**
 * Return the names in a .fmae file, which are UTF-8, separated by zero bytes.
 *
 * @param {Uint8Array} listed
 * @param {number} images
 * @param {{ paths: boolean }} options
 * @returns {string[]}
 * @throws {InputError} as `asNames` does
 */
export function readNames(listed, images, options) {
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(listed);
  } catch {
    throw new InputError("the names are not valid UTF-8");
  }
  return asNames(listed.length || images ? text.split("\0") : [], images, options);
}

/**
 * @param {string} name
 * @param {boolean} paths
 * @returns {string} the reason why it is refused, or an empty string
 */
function problemOf(name, paths) {
  const [refused] = REFUSED.exec(name) ?? [];
  if (refused !== undefined) {
    const code = /** @type {number} */ (refused.codePointAt(0));
    return `it contains U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
  }
  if (name.includes("/") && !paths) {
    return "it contains a /";
  }
  if (isLonger(name, MAX_NAME_BYTES)) {
    return `it has more than ${MAX_NAME_BYTES} bytes`;
  }
  for (const part of name.split("/")) {
    if (part === "") {
      return "it has an empty part";
    }
    if (part === "." || part === "..") {
      return `${part} is a folder on every system`;
    }
    if (part.endsWith(".") || part.endsWith(" ")) {
      return "Windows drops a dot or space at the end";
    }
    if (DEVICE.test(part)) {
      return `${part} is a device on Windows`;
    }
    if (isLonger(part, MAX_PART_BYTES)) {
      return `a part of it has more than ${MAX_PART_BYTES} bytes`;
    }
  }
  return "";
}

/**
 * @param {string} text
 * @param {number} most bytes in UTF-8
 */
function isLonger(text, most) {
  return text.length > most / 3 && ENCODER.encode(text).length > most; // a UTF-16 unit takes at most 3 bytes
}

/** @param {string[]} names */
function requireDifferent(names) {
  // With the smallest character for "/", the files in a folder directly follow a name that equals the folder's
  const sorted = names.map((name) => name.replaceAll("/", "\0")).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  for (let index = 1; index < sorted.length; index++) {
    const [before, after] = [sorted[index - 1], sorted[index]];
    if (before === after) {
      throw new InputError(`${shown(path(before))} is the name of two images; names must be different`);
    }
    if (after.startsWith(`${before}\0`)) {
      throw new InputError(
        `${shown(path(before))} is the name of an image and the folder of ${shown(path(after))}`,
      );
    }
  }
}

/** @param {string} name with zeros in place of each "/" */
function path(name) {
  return name.replaceAll("\0", "/");
}
