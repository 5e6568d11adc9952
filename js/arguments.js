/** Convert the arguments of callers to bytes and integers, and refuse anything else. */

import { ArgumentError, InputError, kindOf, shown } from "./errors.js";

export const QUALITIES = 9;

/**
 * Return the bytes of a Uint8Array, which Node's Buffers are as well, or of an ArrayBuffer.
 *
 * @param {unknown} content
 * @param {string} what names them in messages
 * @returns {Uint8Array}
 * @throws {InputError} if it is anything else
 */
export function asBytes(content, what) {
  if (content instanceof Uint8Array) {
    return content;
  }
  if (content instanceof ArrayBuffer) {
    try {
      return new Uint8Array(content);
    } catch {
      throw new InputError(`expected the bytes of ${what}, got an ArrayBuffer that was transferred elsewhere`);
    }
  }
  throw new InputError(`expected the bytes of ${what} as a Uint8Array, got ${kindOf(content)}`);
}

/**
 * @param {string} name of the argument
 * @param {unknown} value
 * @returns {number}
 * @throws {ArgumentError} if it is not an integer
 */
export function asInteger(name, value) {
  if (Number.isSafeInteger(value)) {
    return /** @type {number} */ (value);
  }
  throw new ArgumentError(name, `is ${shown(value)}; expected an integer`);
}

/**
 * @param {string} name of the argument
 * @param {unknown} value
 * @param {number} least
 * @param {number} most
 * @returns {number}
 * @throws {ArgumentError} if it is not an integer from `least` to `most`
 */
export function asIntegerFrom(name, value, least, most) {
  const number = asInteger(name, value);
  if (number < least || number > most) {
    throw new ArgumentError(name, `is ${number}; expected an integer from ${least} to ${most}`);
  }
  return number;
}

/**
 * @param {unknown} quality
 * @returns {number}
 * @throws {ArgumentError} if it is not an integer from 1 to 9
 */
export function asQuality(quality) {
  return asIntegerFrom("quality", quality, 1, QUALITIES);
}

/**
 * @param {unknown} maxImages
 * @returns {number}
 * @throws {ArgumentError} if it is not an integer of 0 or more
 */
export function asMaxImages(maxImages) {
  const number = asInteger("maxImages", maxImages);
  if (number < 0) {
    throw new ArgumentError("maxImages", `is ${number}; expected 0 or more`);
  }
  return number;
}
