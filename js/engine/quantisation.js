/** Scales and zero points, and tables of what each of the 256 levels becomes, in the arithmetic of float32. */

import { INT8, floats } from "../bundle/onnx_file.js";
import { roundHalfEven } from "./levels.js";

const { fround } = Math;

/**
 * A scale and a zero point for all numbers of an array of UINT8 or INT8.
 *
 * @typedef {{ scale: number, zeroPoint: number, dtype: number }} Quantiser
 *
 * @typedef {import("../bundle/onnx_file.js").Constant | null} Given
 */

/**
 * @param {Given} scale
 * @param {Given} zeroPoint
 * @returns {Quantiser}
 */
export function quantiser(scale, zeroPoint) {
  const { dtype } = present(zeroPoint);
  return { scale: scalar(scale), zeroPoint: signed(present(zeroPoint).data[0], dtype), dtype };
}

/**
 * Return the constant, which the check of the graph has seen.
 *
 * @param {Given | undefined} given
 */
export function present(given) {
  if (!given) {
    throw new Error("a checked operator lacks a constant");
  }
  return given;
}

/** @param {Given} given */
export function scalar(given) {
  return floats(present(given).data)[0];
}

/**
 * Return the least and the largest level.
 *
 * @param {number} dtype
 * @returns {[number, number]}
 */
export function levels(dtype) {
  return dtype === INT8 ? [-128, 127] : [0, 255];
}

/**
 * Return the number that a byte of that type is.
 *
 * @param {number} byte
 * @param {number} dtype
 */
export function signed(byte, dtype) {
  return dtype === INT8 ? (byte << 24) >> 24 : byte;
}

/**
 * Return what each byte of a quantised array stands for.
 *
 * @param {Quantiser} quantiser
 */
export function dequantised({ scale, zeroPoint, dtype }) {
  return Float32Array.from({ length: 256 }, (_, byte) => (signed(byte, dtype) - zeroPoint) * scale);
}

/**
 * Return the level of a number, rounded to the nearest, halves to even.
 *
 * @param {number} value
 * @param {Quantiser} quantiser
 */
function quantised(value, { scale, zeroPoint, dtype }) {
  const [least, most] = levels(dtype);
  const ratio = Math.min(Math.max(fround(fround(value) / scale), least - zeroPoint), most - zeroPoint);
  return roundHalfEven(ratio) + zeroPoint;
}

/**
 * Return the level of the sigmoid of each level.
 *
 * @param {Quantiser} from
 * @param {Quantiser} to
 */
export function sigmoidLevels(from, to) {
  return Uint8Array.from(dequantised(from), (value) => quantised(1 / (1 + Math.exp(-value)), to));
}
