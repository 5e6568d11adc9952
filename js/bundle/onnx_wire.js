/**
 * The protobuf wire format: https://protobuf.dev/programming-guides/encoding.
 *
 * Every reader of a graph must see the same graph. Parsers differ in what they do with a tag of more than 32 bits,
 * field 0, groups and numbers with extra bytes, so all of these are malformed here.
 */

export const VARINT = 0;
const FIXED64 = 1;
export const BYTES = 2;
export const FIXED32 = 5;

const TAG_BITS = 32;
const SIZE_BITS = 31;
const VALUE_BITS = 64;

/** Bytes that are not an ONNX graph, or not even protobuf. */
export class MalformedError extends Error {
  name = "MalformedError";
}

/**
 * One field of a message. Of BYTES and fixed sizes, `value` is the bytes; a VARINT is signed, as in all fields of
 * ONNX. A number of more than 53 bits is the nearest double: no limit of a graph is that large.
 *
 * @typedef {{ number: number, wireType: number, value: number | Uint8Array }} Field
 */

/**
 * Yield the fields of one message.
 *
 * @param {Uint8Array} message
 * @returns {Generator<Field, void, void>}
 * @throws {MalformedError}
 */
export function* fields(message) {
  const varint = new VarintReader(message);
  while (varint.at < message.length) {
    const tag = varint.read(TAG_BITS);
    const number = Math.floor(tag / 8);
    const wireType = tag % 8;
    if (number === 0) {
      throw new MalformedError("field 0");
    }
    if (wireType === VARINT) {
      yield { number, wireType, value: varint.read(VALUE_BITS) };
      continue;
    }
    let size = 0;
    if (wireType === BYTES) {
      size = varint.read(SIZE_BITS);
    } else if (wireType === FIXED64 || wireType === FIXED32) {
      size = wireType === FIXED64 ? 8 : 4;
    } else {
      throw new MalformedError(`wire type ${wireType}`);
    }
    if (varint.at + size > message.length) {
      throw new MalformedError("truncated");
    }
    yield { number, wireType, value: message.subarray(varint.at, varint.at + size) };
    varint.at += size;
  }
}

/** Reads numbers of at most 10 bytes, each with 7 bits, the lowest first. */
class VarintReader {
  /** @param {Uint8Array} message */
  constructor(message) {
    this.message = message;
    this.at = 0;
  }

  /**
   * Return the next number; one of 64 bits is signed.
   *
   * @param {number} bits the most that it may have
   * @returns {number}
   */
  read(bits) {
    const { message } = this;
    const start = this.at;
    let low = 0;
    for (let shift = 0; shift < bits; shift += 7) {
      if (this.at >= message.length) {
        throw new MalformedError("truncated");
      }
      const byte = message[this.at++];
      low += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) {
        if (shift > 0 && byte === 0) {
          break; // the number has extra bytes
        }
        if (shift < 49) {
          if (low >= 2 ** bits) {
            break;
          }
          return low;
        }
        return exactly(message.subarray(start, this.at), bits);
      }
    }
    throw new MalformedError(`not a number of ${bits} bits`);
  }
}

/**
 * Return a number of more than 49 bits, which doubles may not hold before its sign is known.
 *
 * @param {Uint8Array} bytes
 * @param {number} bits
 */
function exactly(bytes, bits) {
  const value = bytes.reduceRight((sum, byte) => (sum << 7n) | BigInt(byte & 0x7f), 0n);
  if (value >> BigInt(bits)) {
    throw new MalformedError(`not a number of ${bits} bits`);
  }
  return Number(BigInt.asIntN(64, value));
}
