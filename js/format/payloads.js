/** The payloads of a .fmae file, and how many and how long they may be. */

import { InputError, shown } from "../errors.js";

export const MAX_IMAGES = 1 << 20;
const MAX_PAYLOAD_BYTES = 65535;
const MAX_LOSSLESS_BYTES = 2 ** 26 + 2; // the largest image, and a byte each for its quality and its compressor

/**
 * Payloads that are stored one after the other. A payload becomes an object when it is read, so that a million
 * images do not take a million objects.
 */
export class Payloads {
  /**
   * @param {Uint8Array} body
   * @param {Uint32Array} lengths in bytes; together at most the length of `body`
   */
  constructor(body, lengths) {
    this.lengths = lengths;
    this.body = body;
    this.begins = new Float64Array(lengths.length);
    let begin = 0;
    for (let index = 0; index < lengths.length; index++) {
      this.begins[index] = begin;
      begin += lengths[index];
    }
  }

  /** The number of payloads. */
  get length() {
    return this.lengths.length;
  }

  /**
   * Return the payload with number `index`, from 0.
   *
   * @param {number} index
   * @returns {Uint8Array}
   * @throws {InputError} if there is no such payload
   */
  at(index) {
    if (!(Number.isInteger(index) && index >= 0 && index < this.length)) {
      throw new InputError(`has no image ${shown(index)}; ${numbered(this.length)}`);
    }
    return this.body.subarray(this.begins[index], this.begins[index] + this.lengths[index]);
  }

  /** Iterates over all payloads. */
  *[Symbol.iterator]() {
    for (let index = 0; index < this.length; index++) {
      yield this.at(index);
    }
  }
}

/** @param {number} images */
function numbered(images) {
  if (images > 1) {
    return `its ${images} images are numbered 0 to ${images - 1}`;
  }
  return images === 1 ? "its only image has number 0" : "it is empty";
}

/**
 * Return the largest payload in bytes of a file with this quality in its header, 0 for lossless images.
 *
 * @param {number} quality
 */
export function maxPayloadBytes(quality) {
  return quality ? MAX_PAYLOAD_BYTES : MAX_LOSSLESS_BYTES;
}

/**
 * @param {number} length of a payload
 * @param {number} quality
 * @throws {InputError} if it is too long for a .fmae file of this quality
 */
export function requirePayloadBytes(length, quality) {
  const most = maxPayloadBytes(quality);
  if (length > most) {
    throw new InputError(`a payload has ${length} bytes; a .fmae file allows ${most}`);
  }
}

/**
 * @param {number} images
 * @param {number} maxImages
 * @throws {InputError} if a file has more than `maxImages` images
 */
export function requireImages(images, maxImages) {
  if (images > maxImages) {
    throw new InputError(`claims ${images} images, more than maxImages=${maxImages}`);
  }
}
