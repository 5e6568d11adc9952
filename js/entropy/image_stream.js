/**
 * Code several images as one message of the range coder, so that none of them ends at a whole byte.
 *
 * After each image, an interval says whether another image follows. spec/format.md specifies the message of a
 * packet.
 */

import { QUALITIES } from "../arguments.js";
import { InputError } from "../errors.js";
import { RangeDecoder, RangeEncoder } from "./range_coder.js";
import { decodeNext, encodeNext } from "./symbol_coder.js";

/** @typedef {import("./prior.js").Prior} Prior */
/** @typedef {{ quality: number, symbols: Int32Array }} CodedImage its quality, 1 to 9, and symbols (latents) */

// What follows an image, and where its interval starts; zeros follow the end of a message, and stand for the first
const END = 0;
const END_OF_SET = 1;
const ANOTHER = 2;
const FOLLOWS = [0, 7168, 8192, 65536];
const QUALITY_STARTS = [...Array.from({ length: QUALITIES }, (_, index) => 7281 * index), 65536];

/**
 * Return a message with one more image; null is the message without images.
 *
 * @param {RangeEncoder | null} message which does not change
 * @param {Prior} prior
 * @param {CodedImage} image
 * @param {boolean} ownQuality whether the image names its quality
 * @returns {RangeEncoder}
 */
export function addImage(message, prior, { quality, symbols }, ownQuality) {
  const longer = message === null ? new RangeEncoder() : message.copy();
  if (message !== null) {
    longer.add(FOLLOWS[ANOTHER], FOLLOWS[ANOTHER + 1]);
  }
  if (ownQuality) {
    longer.add(QUALITY_STARTS[quality - 1], QUALITY_STARTS[quality]);
  }
  encodeNext(prior, longer, symbols, quality);
  return longer;
}

/**
 * Return the bytes of a message of at least one image; `endsSet` says that no message follows this one.
 *
 * @param {RangeEncoder} message which does not change
 * @param {boolean} endsSet
 * @returns {Uint8Array}
 */
export function endStream(message, endsSet) {
  const ended = message.copy();
  const last = endsSet ? END_OF_SET : END;
  ended.add(FOLLOWS[last], FOLLOWS[last + 1]);
  return ended.message();
}

/**
 * Return the images in a message, and whether it ends the whole set.
 *
 * @param {Prior} prior
 * @param {Uint8Array} message
 * @param {number} quality that of all images, or 0 if each names its own
 * @param {number} maxImages
 * @returns {{ images: CodedImage[], endsSet: boolean }}
 * @throws {InputError} if there are more than `maxImages`, or bytes that no writer would add
 */
export function readStream(prior, message, quality, maxImages) {
  const decoder = new RangeDecoder(message);
  const images = [];
  for (;;) {
    if (images.length === maxImages) {
      throw new InputError(`corrupted: it has more than ${maxImages} images`);
    }
    const own = quality || 1 + decoder.nextOf(QUALITY_STARTS, 0, QUALITIES);
    images.push({ quality: own, symbols: decodeNext(prior, decoder, own) });
    const follows = decoder.nextOf(FOLLOWS, 0, ANOTHER + 1);
    if (follows === ANOTHER) {
      continue;
    }
    if (message.length > decoder.mostBytes) {
      throw new InputError("corrupted: it has bytes after its last image");
    }
    return { images, endsSet: follows === END_OF_SET };
  }
}
