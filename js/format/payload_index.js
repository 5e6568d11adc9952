/** The index of a stack, which stores how long each payload is as Rice codes. spec/format.md specifies it. */

import { InputError } from "../errors.js";
import { MAX_IMAGES, requireImages } from "./payloads.js";

const MAX_LOW_BITS = 15;
const MAX_VARINT_BYTES = 5;

/** Reads the header of a stack. */
export class HeaderReader {
  /**
   * @param {Uint8Array} content
   * @param {number} at where it begins
   */
  constructor(content, at) {
    this.content = content;
    this.at = at;
  }

  /**
   * Take `count` bytes.
   *
   * @param {number} count
   */
  take(count) {
    if (count > this.content.length - this.at) {
      throw invalidHeader();
    }
    this.at += count;
    return this.content.subarray(this.at - count, this.at);
  }

  /** Take an integer below 2^35 of seven bits per byte, the lowest first. */
  varint() {
    let number = 0;
    for (let place = 0; place < MAX_VARINT_BYTES; place++) {
      const [byte] = this.take(1);
      number += (byte & 127) * 2 ** (7 * place);
      if (byte < 128) {
        return number;
      }
    }
    throw invalidHeader();
  }

  /**
   * Take `count` integers of `width` bits each; padding fills the last byte.
   *
   * @param {number} count
   * @param {number} width
   * @returns {Uint32Array}
   */
  fixed(count, width) {
    const packed = this.take(Math.ceil((count * width) / 8));
    const numbers = new Uint32Array(count);
    let bit = 0;
    for (let index = 0; index < count; index++) {
      for (let end = bit + width; bit < end; bit++) {
        numbers[index] = (numbers[index] << 1) | ((packed[bit >> 3] >> (7 - (bit & 7))) & 1);
      }
    }
    return numbers;
  }

  /**
   * Take `count` integers up to `largest`, each that many zero bits and a one; padding fills the last byte.
   *
   * @param {number} count
   * @param {number} largest
   * @returns {Uint32Array}
   */
  unary(count, largest) {
    const { content } = this;
    const numbers = new Uint32Array(count);
    let done = 0;
    let zeros = 0;
    while (done < count) {
      if (this.at === content.length || zeros > largest) {
        throw invalidHeader();
      }
      const byte = content[this.at++];
      for (let bit = 7; bit >= 0 && done < count; bit--) {
        if ((byte >> bit) & 1) {
          numbers[done++] = zeros;
          zeros = 0;
        } else {
          zeros++;
        }
      }
    }
    return numbers;
  }
}

/** Return the error of a header that ends too early or breaks a rule. */
function invalidHeader() {
  return new InputError("truncated or corrupted within its header");
}

/**
 * Return the lengths in an index, each at most `maxBytes`.
 *
 * @param {HeaderReader} reader
 * @param {number} maxImages
 * @param {number} maxBytes
 * @returns {Uint32Array}
 * @throws {InputError} if the index is invalid, or has more images, before memory is allocated for them
 */
export function readIndex(reader, maxImages, maxBytes) {
  const count = reader.varint();
  if (count > MAX_IMAGES) {
    throw invalidHeader();
  }
  requireImages(count, maxImages);
  if (count === 0) {
    return new Uint32Array(0);
  }
  const shortest = reader.varint();
  const [lowBits] = reader.take(1);
  if (shortest > maxBytes || lowBits > MAX_LOW_BITS) {
    throw invalidHeader();
  }
  const low = reader.fixed(count, lowBits);
  const high = reader.unary(count, Math.floor(maxBytes / 2 ** lowBits));
  for (let index = 0; index < count; index++) {
    const length = high[index] * 2 ** lowBits + low[index] + shortest;
    if (length > maxBytes) {
      throw invalidHeader();
    }
    low[index] = length;
  }
  return low;
}

/**
 * Return an integer as seven bits per byte, the lowest first; a set top bit says that more bytes follow.
 *
 * @param {number} number
 * @returns {number[]}
 */
export function varint(number) {
  const bytes = [];
  for (; number > 127; number = Math.floor(number / 128)) {
    bytes.push((number % 128) | 128);
  }
  bytes.push(number);
  return bytes;
}

/**
 * Return the index of payloads of these lengths: their number, the shortest length, and Rice codes of the rest.
 *
 * @param {number[]} lengths
 * @returns {Uint8Array}
 */
export function packIndex(lengths) {
  const count = varint(lengths.length);
  if (lengths.length === 0) {
    return Uint8Array.from(count);
  }
  const shortest = lengths.reduce((least, length) => Math.min(least, length));
  const above = lengths.map((length) => length - shortest);
  let lowBits = 0;
  let fewest = Infinity;
  for (let bits = 0; bits <= MAX_LOW_BITS; bits++) {
    const needed = above.reduce((sum, each) => sum + bits + (each >> bits), 0);
    if (needed < fewest) {
      [lowBits, fewest] = [bits, needed];
    }
  }
  const head = [...count, ...varint(shortest), lowBits];
  const lowBytes = Math.ceil((above.length * lowBits) / 8);
  const highBits = above.reduce((sum, each) => sum + (each >> lowBits) + 1, 0);
  const index = new Uint8Array(head.length + lowBytes + Math.ceil(highBits / 8));
  index.set(head);
  let lowAt = 8 * head.length;
  let highAt = 8 * (head.length + lowBytes);
  for (const each of above) {
    for (let bit = lowBits - 1; bit >= 0; bit--, lowAt++) {
      index[lowAt >> 3] |= ((each >> bit) & 1) << (7 - (lowAt & 7));
    }
    highAt += each >> lowBits;
    index[highAt >> 3] |= 128 >> (highAt & 7);
    highAt++;
  }
  return index;
}
