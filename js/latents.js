/** Check the latents of callers: float32 values, or the integer symbols of .fmae files. */

import { InputError, kindOf, shown } from "./errors.js";

/**
 * Return latent values as an array of rows, and whether they were an array of rows and not a single row.
 *
 * @param {unknown} latents a Float32Array, or an array of them
 * @param {number} size of a row
 * @returns {{ rows: Float32Array[], isList: boolean }}
 * @throws {InputError} if they have another type or number, or are not finite
 */
export function asLatents(latents, size) {
  const isList = Array.isArray(latents);
  const rows = isList ? latents : [latents];
  for (const row of rows) {
    if (!(row instanceof Float32Array)) {
      const symbols = "; for symbols of a .fmae file, give quality too";
      throw new InputError(`latents are ${kindOf(row)}; expected a Float32Array, or an array of them${symbols}`);
    }
    requireSize(row, size);
    if (!row.every(Number.isFinite)) {
      throw new InputError("latents contain NaN or infinity; every value must be finite");
    }
  }
  return { rows, isList };
}

/**
 * Return the symbols of a .fmae file as `asLatents` returns values.
 *
 * @param {unknown} symbols arrays or typed arrays of integers
 * @param {number} size of a row
 * @returns {{ rows: ArrayLike<number>[], isList: boolean }}
 * @throws {InputError} if they have another number, or are not integers
 */
export function asSymbols(symbols, size) {
  const isList = Array.isArray(symbols) && (symbols.length === 0 || typeof symbols[0] === "object");
  const rows = isList ? symbols : [symbols];
  for (const row of rows) {
    if (!(Array.isArray(row) || (ArrayBuffer.isView(row) && !(row instanceof DataView)))) {
      throw new InputError(
        `latents are ${kindOf(row)}; with a quality, expected integers as symbols returns them`,
      );
    }
    const numbers = /** @type {unknown[]} */ (/** @type {unknown} */ (row));
    requireSize(numbers, size);
    const other = numbers.find((number) => !Number.isSafeInteger(number));
    if (other !== undefined || numbers.includes(undefined)) {
      throw new InputError(`latents contain ${shown(other)}; with a quality, expected integers`);
    }
  }
  return { rows, isList };
}

/**
 * @param {ArrayLike<unknown>} row
 * @param {number} size
 */
function requireSize(row, size) {
  if (row.length !== size) {
    throw new InputError(`latents have ${row.length} values; expected ${size} for each image`);
  }
}
