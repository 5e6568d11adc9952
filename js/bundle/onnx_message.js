/** The messages of an ONNX file: which fields they may have, and how to get the only value of a field. */

import { BYTES, FIXED32, MalformedError, VARINT, fields } from "./onnx_wire.js";

const MAX_FIELDS = 20_000; // of all messages; our graphs have about 1,000

/**
 * The allowed fields of each message, with their wire types.
 *
 * @type {Record<string, Record<number, number>>}
 */
const FIELDS = {
  Model: { 1: VARINT, 2: BYTES, 3: BYTES, 6: BYTES, 7: BYTES, 8: BYTES },
  OperatorSetId: { 1: BYTES, 2: VARINT },
  Graph: { 1: BYTES, 2: BYTES, 5: BYTES, 10: BYTES, 11: BYTES, 12: BYTES },
  Node: { 1: BYTES, 2: BYTES, 3: BYTES, 4: BYTES, 5: BYTES, 6: BYTES, 7: BYTES },
  Attribute: { 1: BYTES, 2: FIXED32, 3: VARINT, 4: BYTES, 8: VARINT, 13: BYTES, 20: VARINT },
  Tensor: { 1: VARINT, 2: VARINT, 8: BYTES, 9: BYTES, 12: BYTES },
  ValueInfo: { 1: BYTES, 2: BYTES, 3: BYTES },
  Type: { 1: BYTES },
  "Type.Tensor": { 1: VARINT, 2: BYTES },
  TensorShape: { 1: BYTES },
  "TensorShape.Dimension": { 1: VARINT, 2: BYTES },
};
/** @type {Record<string, string>} */
const REFUSED = {
  "Model 20": "training information",
  "Model 25": "functions",
  "Graph 13": "shapes of results (value_info)",
  "Graph 15": "sparse tensors",
  "Attribute 5": "tensors as attributes",
  "Attribute 6": "subgraphs",
  "Attribute 11": "subgraphs",
  "Tensor 13": "tensors in another file",
  "Tensor 14": "tensors in another file",
};
/** @typedef {Map<number, (number | Uint8Array)[]>} Message */

/** A part of a graph that is not allowed in a bundle; the message continues the sentence "the graph has". */
export class RefusedError extends Error {
  name = "RefusedError";
}

/** Reads the messages of one file, and refuses a file whose messages have too many fields. */
export class MessageReader {
  left = MAX_FIELDS;

  /**
   * Return the values of each field of a message.
   *
   * @param {number | Uint8Array} entry
   * @param {string} kind
   * @returns {Message}
   */
  fields(entry, kind) {
    const known = FIELDS[kind];
    /** @type {Message} */
    const parsed = new Map();
    for (const { number, wireType, value } of fields(asBytes(entry))) {
      if (known[number] !== wireType) {
        throw new RefusedError(REFUSED[`${kind} ${number}`] ?? `field ${number} of ${kind}Proto`);
      }
      this.left -= 1;
      if (this.left === 0) {
        throw new RefusedError(`more than ${MAX_FIELDS} fields`);
      }
      const values = parsed.get(number);
      if (values) {
        values.push(value);
      } else {
        parsed.set(number, [value]);
      }
    }
    return parsed;
  }
}

/**
 * @param {Message} parsed
 * @param {number} field
 */
export function all(parsed, field) {
  return parsed.get(field) ?? [];
}

/**
 * Return the only value of a field. If there are several, some parsers use the last and others join them.
 *
 * @param {Message} parsed
 * @param {number} field
 */
function one(parsed, field) {
  const values = all(parsed, field);
  if (values.length !== 1) {
    throw new MalformedError(`field ${field} occurs ${values.length} times`);
  }
  return values[0];
}

/**
 * @param {Message} parsed
 * @param {number} field
 */
export function numberOf(parsed, field) {
  return asNumber(one(parsed, field));
}

/**
 * @param {Message} parsed
 * @param {number} field
 */
export function bytesOf(parsed, field) {
  return asBytes(one(parsed, field));
}

/**
 * @param {Message} parsed
 * @param {number} field
 */
export function textOf(parsed, field) {
  return text(one(parsed, field));
}

/** @param {number | Uint8Array} value */
export function asNumber(value) {
  if (typeof value !== "number") {
    throw new MalformedError("bytes for a number");
  }
  return value;
}

/** @param {number | Uint8Array} value */
export function asBytes(value) {
  if (typeof value === "number") {
    throw new MalformedError("a number for bytes");
  }
  return value;
}

/** @param {number | Uint8Array} value */
export function text(value) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(asBytes(value));
  } catch {
    throw new MalformedError("not UTF-8");
  }
}
