/**
 * Write .fmae files: with the requested quality, the best one that fits into `maxBytes`, or the lowest one that
 * reaches `minPsnr`.
 */

import { QUALITIES } from "./arguments.js";
import { ArgumentError, InputError } from "./errors.js";
import { writeFmae } from "./format/fmae_file.js";
import { asNames } from "./format/names.js";
import { MAX_IMAGES } from "./format/payloads.js";
import { reachMinPsnr } from "./min_psnr.js";

/** @import { Coding } from "./coding_options.js" */
/** @import { ImageLike } from "./images.js" */
/** @import { LatentCoder } from "./latent_coder.js" */

/**
 * Makes a file of payloads of one quality.
 *
 * @typedef {(payloads: Uint8Array[], quality: number) => Uint8Array} Pack
 */

/** Writes .fmae files with the coder of a bundle. */
export class FmaeWriter {
  /** @param {LatentCoder} coder */
  constructor(coder) {
    this.coder = coder;
    this.bundleId = coder.bundle.bundleId;
  }

  /**
   * Return the file or the payload of an image.
   *
   * @param {ImageLike} image that was checked
   * @param {Coding} coding
   * @returns {Promise<Uint8Array>}
   * @throws {ArgumentError} if `maxBytes` is too few
   */
  async one(image, coding) {
    /** @type {Pack} */
    const pack = (payloads, quality) => {
      return writeFmae({ payloads, quality, single: true, bundleId: this.bundleId });
    };
    if (coding.minPsnr !== null) {
      const [{ quality, payload }] = await reachMinPsnr(this.coder, [image], coding.minPsnr);
      return pack([payload], quality);
    }
    if (coding.maxBytes !== null) {
      return this.#bestThatFits([image], coding.maxBytes, pack);
    }
    const payloads = await this.#payloads([image], coding.quality);
    return coding.bare ? payloads[0] : pack(payloads, coding.quality);
  }

  /**
   * Return the file of a stack of images.
   *
   * @param {readonly ImageLike[]} images that were checked
   * @param {Coding} coding
   * @param {string[] | null} names
   * @returns {Promise<Uint8Array>}
   * @throws {InputError} if there are too many images, `maxBytes` is too few, or the names are invalid
   */
  async stack(images, coding, names) {
    if (images.length > MAX_IMAGES) {
      throw new InputError(`a file holds at most ${MAX_IMAGES} images, got ${images.length}`);
    }
    const checkedNames = names && asNames(names, images.length); // before the images take time
    /** @type {Pack} */
    const pack = (payloads, quality) => {
      return writeFmae({ payloads, quality, names: checkedNames, single: false, bundleId: this.bundleId });
    };
    if (coding.minPsnr !== null) {
      const coded = await reachMinPsnr(this.coder, images, coding.minPsnr);
      const qualities = new Set(coded.map(({ quality }) => quality));
      const [quality = coding.quality] = qualities;
      if (qualities.size <= 1 && quality !== 0) {
        return pack(
          coded.map(({ payload }) => payload),
          quality,
        );
      }
      return pack(coded.map(withQuality), 0);
    }
    if (coding.maxBytes !== null) {
      return this.#bestThatFits(images, coding.maxBytes, pack);
    }
    return pack(await this.#payloads(images, coding.quality), coding.quality);
  }

  /**
   * Return the payload of each image.
   *
   * @param {readonly ImageLike[]} images that were checked
   * @param {number} quality
   * @returns {Promise<Uint8Array[]>}
   */
  bare(images, quality) {
    return this.#payloads(images, quality);
  }

  /**
   * @param {readonly ImageLike[]} images
   * @param {number} quality
   */
  async #payloads(images, quality) {
    const latents = await this.coder.latents(images);
    return latents.map((values) => this.coder.payload(this.coder.quantise(values, quality), quality));
  }

  /**
   * Return the file with the lowest error of the decoded images, of those of at most `maxBytes` bytes. All nine
   * qualities are tried, because the error may grow from one quality to the next.
   *
   * @param {readonly ImageLike[]} images
   * @param {number} maxBytes
   * @param {Pack} pack
   */
  async #bestThatFits(images, maxBytes, pack) {
    const latents = await this.coder.latents(images);
    /** @type {{ error: number, content: Uint8Array } | null} */
    let best = null;
    let fewest = 0;
    for (let quality = 1; quality <= QUALITIES; quality++) {
      const symbols = latents.map((values) => this.coder.quantise(values, quality));
      const content = pack(
        symbols.map((each) => this.coder.payload(each, quality)),
        quality,
      );
      fewest ||= content.length;
      if (content.length <= maxBytes) {
        const errors = await this.coder.squaredErrors(symbols, images, quality);
        const error = errors.reduce((sum, each) => sum + each, 0);
        if (best === null || error < best.error) {
          best = { error, content };
        }
      }
    }
    if (best === null) {
      throw new ArgumentError("maxBytes", `is ${maxBytes}, but the lowest quality takes ${fewest} bytes`);
    }
    return best.content;
  }
}

/** @param {{ quality: number, payload: Uint8Array }} coded */
function withQuality({ quality, payload }) {
  const stored = new Uint8Array(payload.length + 1);
  stored[0] = quality;
  stored.set(payload, 1);
  return stored;
}
