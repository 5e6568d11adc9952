/** Write packets: as many whole images in each as fit. */

import { addImage, endStream } from "../entropy/image_stream.js";
import { asIntegerFrom, asQuality } from "../arguments.js";
import { requireSymbols } from "../entropy/symbol_coder.js";
import { InputError } from "../errors.js";
import { MAX_PACKET_BYTES, MAX_PACKET_IMAGES, MAX_SET_IMAGES, MIN_PACKET_BYTES, packPacket } from "./packet.js";

/** @typedef {import("../entropy/prior.js").Prior} Prior */
/** @typedef {import("./packet.js").CodedImage} CodedImage */

/**
 * Return the packets of a set of images, each of at most `packetBytes`.
 *
 * @param {Prior} prior
 * @param {string} bundleId 16 hexadecimal digits
 * @param {readonly CodedImage[]} images at most 4,096
 * @param {number} packetBytes 16 to 1,024
 * @param {{ ownQualities?: boolean }} [options] with `ownQualities`, each image names its quality; without, all
 *   have the same
 * @returns {Uint8Array[]}
 * @throws {InputError} if an argument is invalid, or an image does not fit into a packet of its own
 */
export function writePackets(prior, bundleId, images, packetBytes, { ownQualities = false } = {}) {
  asIntegerFrom("packetBytes", packetBytes, MIN_PACKET_BYTES, MAX_PACKET_BYTES);
  for (const { quality, symbols } of images) {
    asQuality(quality);
    requireSymbols(symbols, prior);
  }
  if (images.length > MAX_SET_IMAGES) {
    throw new InputError(
      `packets number at most ${MAX_SET_IMAGES} images, got ${images.length}; use several sets`,
    );
  }
  if (!ownQualities && images.some(({ quality }) => quality !== images[0].quality)) {
    throw new InputError("the images have different qualities; use ownQualities");
  }
  const quality = ownQualities || images.length === 0 ? 0 : images[0].quality;
  /** @type {Uint8Array[]} */
  const packets = [];
  let message = null;
  let first = 0;
  for (const [number, image] of images.entries()) {
    const endsSet = number === images.length - 1;
    if (message !== null && number - first < MAX_PACKET_IMAGES) {
      const longer = addImage(message, prior, image, ownQualities);
      const content = packPacket({ first, quality, message: endStream(longer, endsSet) }, bundleId);
      if (content.length <= packetBytes) {
        message = longer;
        packets[packets.length - 1] = content;
        continue;
      }
    }
    first = number;
    message = addImage(null, prior, image, ownQualities);
    const alone = packPacket({ first, quality, message: endStream(message, endsSet) }, bundleId);
    if (alone.length > packetBytes) {
      throw new InputError(
        `image ${number}: packetBytes is ${packetBytes}, but the image takes ${alone.length} bytes in a packet ` +
          "of its own; use larger packets, a lower quality or maxBytes",
      );
    }
    packets.push(alone);
  }
  return packets;
}
