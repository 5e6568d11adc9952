/**
 * Read named arrays from the bytes of a safetensors file, and check every size before it is used.
 *
 * The format: 8 bytes of header length, little-endian; a JSON header with dtype, shape and offsets of each array;
 * the arrays. https://huggingface.co/docs/safetensors describes it.
 */

import { BundleError } from "../errors.js";

/** @typedef {Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Float32Array} Numbers */
/** @typedef {{ dtype: string, shape: number[], data: Numbers }} Tensor an array, row by row */

const LENGTH_BYTES = 8;

/** @typedef {{ new (bytes: ArrayBuffer): Numbers, BYTES_PER_ELEMENT: number }} ArrayType */

// Their numbers are little-endian, as in the file
/** @type {Record<string, ArrayType>} */
const INTEGERS = { I8: Int8Array, U8: Uint8Array, I16: Int16Array, U16: Uint16Array, I32: Int32Array };
/** @type {typeof INTEGERS} */
const NUMBERS = { ...INTEGERS, F32: Float32Array };

/**
 * Return the arrays in `content` by their names. `where` names the file in messages.
 *
 * @param {Uint8Array} content
 * @param {string} where
 * @param {{ floats?: boolean }} [options] with `floats`, float32 is accepted as well
 * @returns {Map<string, Tensor>}
 * @throws {BundleError} if the bytes are not such a file, or an array is not of integers of 8, 16 or 32 bits
 */
export function readTensors(content, where, { floats = false } = {}) {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  if (content.length < LENGTH_BYTES) {
    throw invalid(where, `it has ${content.length} bytes`);
  }
  const dataAt = LENGTH_BYTES + view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
  if (dataAt > content.length) {
    throw invalid(where, "it is shorter than its header");
  }
  const data = content.subarray(dataAt);
  const tensors = new Map();
  for (const [name, entry] of Object.entries(readHeader(content.subarray(LENGTH_BYTES, dataAt), where))) {
    if (name !== "__metadata__") {
      const tensor = readTensor(entry, data, floats);
      if (tensor === null) {
        throw invalid(where, `the entry of ${name.slice(0, 100)} is invalid`);
      }
      tensors.set(name, tensor);
    }
  }
  return tensors;
}

/**
 * @param {Uint8Array} content
 * @param {string} where
 * @returns {object}
 */
function readHeader(content, where) {
  let header;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(content));
  } catch {
    throw invalid(where, "its header is not JSON");
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) {
    throw invalid(where, "its header is not an object");
  }
  return header;
}

/**
 * @param {any} entry anything that JSON can hold
 * @param {Uint8Array} data
 * @param {boolean} floats
 * @returns {Tensor | null} null if the entry is invalid
 */
function readTensor(entry, data, floats) {
  const { dtype, shape, data_offsets: offsets } = entry ?? {};
  const kinds = floats ? NUMBERS : INTEGERS;
  if (typeof dtype !== "string" || !Object.hasOwn(kinds, dtype) || !areSizes(shape) || !areSizes(offsets)) {
    return null;
  }
  const Numbers = kinds[dtype];
  const length = shape.reduce((product, side) => product * side, 1);
  const [begin, end] = offsets;
  if (
    offsets.length !== 2 ||
    begin > end ||
    end > data.byteLength ||
    end - begin !== length * Numbers.BYTES_PER_ELEMENT
  ) {
    return null;
  }
  // The bytes are copied because an array of larger numbers cannot begin anywhere
  return { dtype, shape, data: new Numbers(new Uint8Array(data.subarray(begin, end)).buffer) };
}

/**
 * @param {unknown} value
 * @returns {value is number[]}
 */
function areSizes(value) {
  return Array.isArray(value) && value.every((number) => Number.isSafeInteger(number) && number >= 0);
}

/**
 * @param {string} where
 * @param {string} problem
 */
function invalid(where, problem) {
  return new BundleError(`${where}: not a safetensors file with the expected tensors (${problem})`);
}
