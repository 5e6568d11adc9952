/**
 * Packets: whole images in as many bytes as one radio frame carries. spec/format.md specifies them.
 *
 * A packet has 4 bytes in addition to its images, header and check code, and can be decoded without the others.
 */

import { QUALITIES, asBytes } from "../arguments.js";
import { readStream } from "../entropy/image_stream.js";
import { InputError } from "../errors.js";
import { idBytes } from "./bundle_id.js";
import { crc16 } from "./check_codes.js";

/** @typedef {import("../entropy/prior.js").Prior} Prior */
/** @typedef {import("../entropy/image_stream.js").CodedImage} CodedImage */

/**
 * A packet that was parsed and checked for one bundle.
 *
 * @typedef {object} Packet
 * @property {string} bundleId
 * @property {number} first number of its first image in the set; the others follow it
 * @property {CodedImage[]} images
 * @property {boolean} endsSet whether no image follows the last one
 * @property {number} packetBytes without zeros at the end
 */

export const MIN_PACKET_BYTES = 16;
export const MAX_PACKET_BYTES = 1024;
export const MAX_SET_IMAGES = 4096; // in all packets together: the header has 12 bits for the number of an image
export const MAX_PACKET_IMAGES = 255; // bounds the time that a hostile packet takes
const HEADER_BYTES = 2;
const OVERHEAD = 4;

/**
 * Return the bytes of a packet.
 *
 * @param {{ first: number, quality: number, message: Uint8Array }} frame `quality` is 0 if each image names its
 *   own
 * @param {string} bundleId 16 hexadecimal digits
 * @returns {Uint8Array}
 */
export function packPacket({ first, quality, message }, bundleId) {
  const packet = new Uint8Array(OVERHEAD + message.length);
  const view = new DataView(packet.buffer);
  view.setUint16(0, (first << 4) | quality);
  view.setUint16(HEADER_BYTES, check(packet, message, bundleId));
  packet.set(message, OVERHEAD);
  return packet;
}

/**
 * Parse and check the bytes of a packet; zero bytes at its end are ignored.
 *
 * @param {Uint8Array} packet
 * @param {string} bundleId 16 hexadecimal digits
 * @param {Prior} prior
 * @returns {Packet}
 * @throws {InputError} if the bytes are damaged, not a packet, or made by another bundle
 */
export function parsePacket(packet, bundleId, prior) {
  const content = asBytes(packet, "a packet");
  if (content.length < OVERHEAD || content.length > MAX_PACKET_BYTES) {
    const limit = content.length < OVERHEAD ? `at least ${OVERHEAD}` : `at most ${MAX_PACKET_BYTES}`;
    throw new InputError(`has ${content.length} bytes; a packet has ${limit}`);
  }
  const message = withoutZeros(content.subarray(OVERHEAD));
  const view = new DataView(content.buffer, content.byteOffset, OVERHEAD);
  if (view.getUint16(HEADER_BYTES) !== check(content, message, bundleId)) {
    throw new InputError(
      `its check code does not match: it is damaged, not a packet, or not made by bundle ${bundleId}`,
    );
  }
  const first = view.getUint16(0) >> 4;
  const quality = view.getUint16(0) & 15;
  if (quality > QUALITIES) {
    throw new InputError(`corrupted: its quality is ${quality}, which the format does not define`);
  }
  const most = Math.min(MAX_PACKET_IMAGES, MAX_SET_IMAGES - first);
  const { images, endsSet } = readStream(prior, message, quality, most);
  return { bundleId, first, images, endsSet, packetBytes: OVERHEAD + message.length };
}

/**
 * Return the CRC-16 of the full bundle id, the header of a packet and its message.
 *
 * @param {Uint8Array} packet
 * @param {Uint8Array} message
 * @param {string} bundleId
 */
function check(packet, message, bundleId) {
  return crc16(message, crc16(packet.subarray(0, HEADER_BYTES), crc16(idBytes(bundleId))));
}

/** @param {Uint8Array} message */
function withoutZeros(message) {
  let length = message.length;
  while (length > 0 && message[length - 1] === 0) {
    length--;
  }
  return message.subarray(0, length);
}
