/**
 * Store an image exactly: predicted pixels and a general compressor. spec/format.md specifies it.
 *
 * The payload is one byte that says how, and the differences from a prediction, all in integers.
 */

import { FmaeError, InputError } from "../errors.js";
import { inflate } from "./inflate.js";
import { unpackLzma } from "./lzma.js";
import { addPredictions, residualsOf } from "./prediction.js";

/** @typedef {{ width: number, height: number, channels: number }} Size */

const FROM_GREEN = 4; // the second of three channels is subtracted from the others
const COMPRESSORS = 24;
const [STORED, DEFLATED, LZMA] = [0, 8, 16];
const RESERVED = 0xe0;
const PREDICTIONS = 4;

/**
 * Return the pixels in a payload: rows from top to bottom, channels interleaved. Memory depends on the size alone.
 *
 * @param {Uint8Array} payload
 * @param {Size} size
 * @returns {Uint8Array}
 * @throws {InputError} if the payload is not one of such an image
 */
export function decodeLossless(payload, { width, height, channels }) {
  const numbers = width * height * channels;
  const kind = payload.length > 0 ? payload[0] : RESERVED;
  const compressor = kind & COMPRESSORS;
  if (kind & RESERVED || compressor === COMPRESSORS || (kind & FROM_GREEN && channels !== 3)) {
    throw new InputError("corrupted: a lossless image is stored in a way that the format does not define");
  }
  const planes = decompress(compressor, payload.subarray(1), numbers);
  if (planes === null) {
    throw new InputError(`corrupted: a lossless image does not have its ${numbers} bytes of pixels`);
  }
  addPredictions(planes, kind % PREDICTIONS, width, height);
  if (kind & FROM_GREEN) {
    changeByGreen(planes, 1);
  }
  return interleaved(planes, channels);
}

/**
 * Return the shortest payload of an image among those of the JavaScript writer: stored or deflated, with any
 * prediction. A file of `fmae-edge` in Python may be shorter, as it also tries LZMA.
 *
 * @param {Uint8Array | Uint8ClampedArray} pixels as `decodeLossless` returns them
 * @param {Size} size
 * @returns {Promise<Uint8Array>} at most one byte more than the pixels
 * @throws {FmaeError} if this browser cannot compress
 */
export async function encodeLossless(pixels, { width, height, channels }) {
  const planes = separated(pixels, channels);
  const variants = [{ kind: 0, planes }];
  if (channels === 3) {
    const fromGreen = planes.slice();
    changeByGreen(fromGreen, -1);
    variants.push({ kind: FROM_GREEN, planes: fromGreen });
  }
  let best = joined(STORED, planes);
  for (const variant of variants) {
    for (let prediction = 0; prediction < PREDICTIONS; prediction++) {
      const deflated = await deflate(residualsOf(variant.planes, prediction, width, height));
      if (deflated.length + 1 < best.length) {
        best = joined(DEFLATED | variant.kind | prediction, deflated);
      }
    }
  }
  return best;
}

/**
 * @param {number} compressor
 * @param {Uint8Array} content
 * @param {number} numbers
 * @returns {Uint8Array | null} null if the content does not have exactly `numbers` bytes
 */
function decompress(compressor, content, numbers) {
  if (compressor === DEFLATED) {
    return inflate(content, numbers);
  }
  if (compressor === LZMA) {
    return unpackLzma(content, numbers);
  }
  return content.length === numbers ? content.slice() : null;
}

/** @param {Uint8Array} content */
async function deflate(content) {
  if (typeof CompressionStream === "undefined") {
    throw new FmaeError("this browser lacks CompressionStream, which lossless images need; use a newer one");
  }
  const stream = new Blob([new Uint8Array(content)]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * Add the second of three channels to the others, `sign` times.
 *
 * @param {Uint8Array} planes
 * @param {number} sign
 */
function changeByGreen(planes, sign) {
  const plane = planes.length / 3;
  for (let index = 0; index < plane; index++) {
    const green = sign * planes[plane + index];
    planes[index] += green;
    planes[2 * plane + index] += green;
  }
}

/**
 * @param {Uint8Array} planes
 * @param {number} channels
 */
function interleaved(planes, channels) {
  const plane = planes.length / channels;
  return planes.map((_, index) => planes[(index % channels) * plane + Math.floor(index / channels)]);
}

/**
 * @param {Uint8Array | Uint8ClampedArray} pixels
 * @param {number} channels
 */
function separated(pixels, channels) {
  const plane = pixels.length / channels;
  return Uint8Array.from(pixels, (_, index) => pixels[(index % plane) * channels + Math.floor(index / plane)]);
}

/**
 * @param {number} kind
 * @param {Uint8Array} content
 */
function joined(kind, content) {
  const payload = new Uint8Array(content.length + 1);
  payload[0] = kind;
  payload.set(content, 1);
  return payload;
}
