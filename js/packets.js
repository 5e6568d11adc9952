/** Packets of images: write a set of them, and read any of them. */

import { QUALITIES } from "./arguments.js";
import { asCoding, asFlag, asOptions } from "./coding_options.js";
import { addImage, endStream } from "./entropy/image_stream.js";
import { ArgumentError, InputError, kindOf } from "./errors.js";
import { packPacket, parsePacket } from "./format/packet.js";
import { PacketSet } from "./format/packet_set.js";
import { writePackets } from "./format/packet_writer.js";
import { asImages } from "./images.js";

/** @import { CodedImage, Packet } from "./format/packet.js" */
/** @import { DecodedImage, ImageLike } from "./images.js" */
/** @import { LatentCoder } from "./latent_coder.js" */

/**
 * `maxBytes` limits the payload of each image, which gets the quality with the best PSNR among those that fit.
 * With `fill`, a packet with room gets the highest quality at which the same images fit.
 *
 * @typedef {{ quality?: number, effort?: number, maxBytes?: number, fill?: boolean }} PacketOptions
 */

/**
 * The images in packets, in the order of their `numbers` in the set. `missing` are the numbers of images that no
 * packet has, up to the last that is known to exist. `total` is the number of images in the set, null if the last
 * packet is missing, because only that one says it.
 *
 * @typedef {{ images: DecodedImage[], numbers: number[], missing: number[], total: number | null }} PacketImages
 */

/** Packets of a codec, which is `codec.packets`. */
export class PacketCodec {
  #coder;

  /** @param {LatentCoder} coder */
  constructor(coder) {
    this.#coder = coder;
  }

  /**
   * Return packets of at most `packetBytes` (16 to 1,024) with as many whole images as fit. Each packet can be
   * decoded alone, and knows the numbers of its images.
   *
   * @param {readonly ImageLike[]} images at most 4,096
   * @param {number} packetBytes
   * @param {PacketOptions} [options]
   * @returns {Promise<Uint8Array[]>}
   * @throws {InputError} if an argument is invalid, or an image does not fit
   * @throws {BundleError} if the bundle has no prior, or the encoder cannot be loaded or fails
   */
  async compress(images, packetBytes, options = {}) {
    const { fill = false, ...others } = asOptions(options, ["quality", "effort", "maxBytes", "fill"]);
    const { quality, maxBytes } = asCoding(others);
    if (asFlag("fill", fill) && maxBytes !== null) {
      throw new ArgumentError("fill", "raises the quality of packets, but maxBytes chooses it; use only one");
    }
    const { prior, bundle } = this.#coder;
    const checked = asImages(images, this.#coder.size);
    writePackets(prior, bundle.bundleId, [], packetBytes); // refuses `packetBytes` before the images take time
    const latents = await this.#coder.latents(checked);
    const coded =
      maxBytes === null
        ? latents.map((values) => this.#coded(values, quality))
        : await this.#fit(latents, checked, maxBytes);
    const ownQualities = maxBytes !== null;
    const packets = writePackets(prior, bundle.bundleId, coded, packetBytes, { ownQualities });
    return fill ? packets.map((packet) => this.#filled(packet, latents, packetBytes, quality)) : packets;
  }

  /**
   * Parse and check the bytes of a packet.
   *
   * @param {Uint8Array | ArrayBuffer} content
   * @returns {Promise<Packet>}
   * @throws {InputError} if the bytes are damaged, not a packet, or made by another bundle
   */
  async parse(content) {
    return this.#parsed(content);
  }

  /**
   * Return the images in packets of one set: any of them, in any order, some perhaps twice.
   *
   * @param {readonly (Uint8Array | ArrayBuffer)[]} packets
   * @returns {Promise<PacketImages>}
   * @throws {InputError} if one is damaged, made by another bundle or of another set, with its place from 0; use
   *   `parse` first to leave such packets out
   * @throws {BundleError} if the decoder cannot be loaded or fails
   */
  async decompress(packets) {
    if (!Array.isArray(packets)) {
      throw new InputError(`packets are ${kindOf(packets)}; expected an array of packets`);
    }
    const received = new PacketSet();
    for (const [place, packet] of packets.entries()) {
      try {
        received.add(this.#parsed(packet));
      } catch (error) {
        throw error instanceof InputError ? new InputError(`packet ${place}: ${error.message}`) : error;
      }
    }
    const { numbers, missing, total } = received;
    const coded = numbers.map((number) => /** @type {CodedImage} */ (received.images.get(number)));
    return { images: await this.#coder.imagesOf(coded), numbers, missing, total };
  }

  /** @param {unknown} content */
  #parsed(content) {
    return parsePacket(/** @type {Uint8Array} */ (content), this.#coder.bundle.bundleId, this.#coder.prior);
  }

  /**
   * @param {Float32Array} latents of an image
   * @param {number} quality
   * @returns {CodedImage}
   */
  #coded(latents, quality) {
    return { quality, symbols: this.#coder.quantise(latents, quality) };
  }

  /**
   * Return each image at the quality with the lowest error of those whose payload has at most `maxBytes`.
   *
   * @param {Float32Array[]} latents
   * @param {readonly ImageLike[]} images
   * @param {number} maxBytes
   * @returns {Promise<CodedImage[]>}
   */
  async #fit(latents, images, maxBytes) {
    /** @type {({ coded: CodedImage, error: number } | undefined)[]} */
    const best = new Array(images.length);
    const fewest = new Array(images.length).fill(Infinity);
    for (let quality = 1; quality <= QUALITIES; quality++) {
      const coded = latents.map((values) => this.#coded(values, quality));
      const symbols = coded.map((each) => each.symbols);
      const errors = await this.#coder.squaredErrors(symbols, images, quality);
      for (const [number, error] of errors.entries()) {
        const { length } = this.#coder.payload(symbols[number], quality);
        fewest[number] = Math.min(fewest[number], length);
        if (length <= maxBytes && error < (best[number]?.error ?? Infinity)) {
          best[number] = { coded: coded[number], error };
        }
      }
    }
    return Array.from(best, (found, number) => {
      if (found === undefined) {
        throw new InputError(
          `image ${number}: maxBytes is ${maxBytes}, but the image takes ${fewest[number]} bytes`,
        );
      }
      return found.coded;
    });
  }

  /**
   * Return the packet of the same images with the highest quality that fits.
   *
   * @param {Uint8Array} packet
   * @param {Float32Array[]} latents of all images of the set
   * @param {number} packetBytes
   * @param {number} quality of the packet
   */
  #filled(packet, latents, packetBytes, quality) {
    const { prior, bundle } = this.#coder;
    const { first, images, endsSet } = this.#parsed(packet);
    let best = packet;
    for (let higher = quality + 1; higher <= QUALITIES; higher++) {
      let message = null;
      for (const values of latents.slice(first, first + images.length)) {
        message = addImage(message, prior, this.#coded(values, higher), false);
      }
      if (message === null) {
        break;
      }
      const filled = packPacket({ first, quality: higher, message: endStream(message, endsSet) }, bundle.bundleId);
      if (filled.length > packetBytes) {
        break;
      }
      best = filled;
    }
    return best;
  }
}
