/** Read .fmae files and bare payloads: images of any quality, and lossless ones. */

import { asBytes } from "./arguments.js";
import { DECOMPRESS_OPTIONS, asBareQuality, asOptions } from "./coding_options.js";
import { InputError } from "./errors.js";
import { FmaeFile } from "./format/fmae_contents.js";
import { parseFmae } from "./format/fmae_file.js";
import { decodeLossless } from "./format/lossless.js";
import { requireImages } from "./format/payloads.js";

/** @import { DecompressOptions } from "./coding_options.js" */
/** @import { DecodedImage } from "./images.js" */
/** @import { LatentCoder } from "./latent_coder.js" */

/**
 * The payload of an image; its quality is 0 if it is lossless.
 *
 * @typedef {{ quality: number, payload: Uint8Array }} Stored
 */

/** Reads .fmae files with the coder of a bundle. */
export class FmaeReader {
  /** @param {LatentCoder} coder */
  constructor(coder) {
    this.coder = coder;
    this.bundleId = coder.bundle.bundleId;
  }

  /**
   * Parse and check the bytes of a file, or return a parsed file as it is.
   *
   * @param {unknown} content
   * @param {number | undefined} maxImages
   * @returns {FmaeFile}
   * @throws {InputError} if it is not a complete .fmae file of this bundle, or has more than `maxImages` images
   */
  parse(content, maxImages) {
    if (content instanceof FmaeFile) {
      if (content.bundleId !== this.bundleId) {
        throw new InputError(
          `was parsed with bundle ${content.bundleId}, but this codec has bundle ${this.bundleId}`,
        );
      }
      if (maxImages !== undefined) {
        requireImages(content.payloads.length, maxImages);
      }
      return content;
    }
    const file = parseFmae(asBytes(content, "a .fmae file"), this.bundleId, { maxImages });
    file.requireFitting(this.coder.latentSize, this.coder.pixels);
    return file;
  }

  /**
   * Return the image with number `index`; without it, the single image or all images of a stack.
   *
   * @param {unknown} content a .fmae file, or a bare payload
   * @param {DecompressOptions & { index?: number }} given
   * @returns {Promise<DecodedImage | DecodedImage[]>}
   */
  async imageOrStack(content, given) {
    const { index, ...options } = asOptions(given, ["index", ...DECOMPRESS_OPTIONS]);
    const quality = asBareQuality(options);
    if (quality !== null) {
      const isList = Array.isArray(content);
      const stored = this.#bare(isList ? content : [content], quality);
      if (index !== undefined) {
        throw new InputError("index is for .fmae files; pass the bare payload of the image");
      }
      const images = await this.#images(stored);
      return isList ? images : images[0];
    }
    const file = this.parse(content, options.maxImages);
    if (index !== undefined) {
      return (await this.#images([file.image(index)]))[0];
    }
    const images = await this.#images(allOf(file));
    return file.single ? images[0] : images;
  }

  /**
   * Return the images in a file, or in a list of bare payloads.
   *
   * @param {unknown} content
   * @param {DecompressOptions} options
   * @returns {Promise<DecodedImage[]>}
   */
  async stack(content, options) {
    const images = await this.imageOrStack(content, options);
    return Array.isArray(images) ? images : [images];
  }

  /**
   * Return the symbols of each image in a file.
   *
   * @param {FmaeFile} file
   * @returns {Int32Array[]}
   * @throws {InputError} if its quality is 0
   */
  symbols(file) {
    if (file.quality === 0) {
      throw new InputError(
        "has no symbols of one quality: it contains images that are stored exactly or have their own quality, " +
          "which inspect lists; decompress reads them",
      );
    }
    return Array.from(file.payloads, (payload) => this.coder.symbols(payload, file.quality));
  }

  /**
   * @param {unknown[]} contents
   * @param {number} quality
   * @returns {Stored[]}
   */
  #bare(contents, quality) {
    const most = 4 * this.coder.latentSize + 1;
    return Array.from(contents, (content) => {
      const payload = asBytes(content, "a bare payload");
      if (payload.length > most) {
        throw new InputError(`corrupted: a payload has ${payload.length} bytes, more than one image can take`);
      }
      return { quality, payload };
    });
  }

  /** @param {Stored[]} stored */
  async #images(stored) {
    const coded = stored
      .filter(({ quality }) => quality !== 0)
      .map(({ quality, payload }) => {
        return { quality, symbols: this.coder.symbols(payload, quality) };
      });
    const decoded = (await this.coder.imagesOf(coded)).values();
    return stored.map(({ quality, payload }) => {
      if (quality !== 0) {
        return /** @type {DecodedImage} */ (decoded.next().value);
      }
      const { size } = this.coder;
      return { ...size, data: decodeLossless(payload, size) };
    });
  }
}

/** @param {FmaeFile} file */
function allOf(file) {
  return Array.from({ length: file.payloads.length }, (_, index) => file.image(index));
}
