/** What the page asks of a codec. Arguments and results can be sent between threads. */

import { Bundle } from "../bundle/bundle.js";
import { GOLDEN_NAME } from "../bundle/manifest.js";
import { readTensors } from "../bundle/safetensors.js";
import { Codec } from "../codec.js";
import { isFmae } from "../format/fmae_file.js";

/** @import { DecodedImage, ImageSize } from "../images.js" */

const [LOWEST, HIGHEST] = [1, 9]; // qualities

/**
 * How images are coded: with a quality, or with the best one in a file of at most so many bytes.
 *
 * @typedef {{ quality: number } | { maxBytes: number }} Setting
 *
 * What the page says about a bundle. `contrastFloors` is null in bundles without them.
 *
 * @typedef {{ name: string, bundleId: string, size: ImageSize, latents: number,
 *   contrastFloors: readonly number[] | null }} Description
 *
 * A .fmae file of one image, and the image that it contains.
 *
 * @typedef {{ content: Uint8Array, decoded: DecodedImage, quality: number }} Coded
 *
 * An image of a .fmae file. `quality` is 0 if it is lossless, `bytes` counts its payload.
 *
 * @typedef {{ image: DecodedImage, name: string | null, quality: number, bytes: number }} OpenedImage
 */

/** The codec of a bundle, for the page. */
export class Coding {
  /** @param {Bundle} bundle */
  constructor(bundle) {
    this.bundle = bundle;
    this.codec = new Codec(bundle);
  }

  /**
   * @param {string} url of the bundle's folder
   * @returns {Promise<Coding>}
   */
  static async load(url) {
    return new Coding(await Bundle.load(url));
  }

  /** @returns {Description} */
  describe() {
    const { name, qualities, latentSize } = this.codec.manifest;
    const { bundleId, image } = this.codec;
    return { name, bundleId, size: image, latents: latentSize, contrastFloors: qualities?.contrastFloors ?? null };
  }

  /**
   * Return the images of the bundle's golden vectors; none if it has no such file.
   *
   * @returns {Promise<DecodedImage[]>}
   */
  async examples() {
    const { bundle } = this;
    const { image } = this.codec;
    if (!bundle.manifest.files.has(GOLDEN_NAME)) {
      return [];
    }
    const where = `${bundle.where}: ${GOLDEN_NAME}`;
    const levels = readTensors(await bundle.file(GOLDEN_NAME), where, { floats: true }).get("images");
    if (levels === undefined || levels.dtype !== "U8") {
      return [];
    }
    const numbers = image.width * image.height * image.channels;
    const data = /** @type {Uint8Array} */ (levels.data);
    return Array.from({ length: Math.floor(data.length / numbers) }, (_, number) => {
      return { ...image, data: data.slice(number * numbers, (number + 1) * numbers) };
    });
  }

  /**
   * @param {DecodedImage} image
   * @param {Setting} setting
   * @returns {Promise<Coded>}
   */
  async code(image, setting) {
    const content = await this.codec.compress(image, setting);
    const file = await this.codec.parse(content);
    const [decoded] = await this.codec.decompressBatch(file);
    return { content, decoded, quality: file.quality };
  }

  /**
   * Return the bytes of the image's .fmae files with the lowest and the highest quality.
   *
   * @param {DecodedImage} image
   * @returns {Promise<[number, number]>}
   */
  async extremes(image) {
    const lowest = await this.codec.compress(image, { quality: LOWEST });
    return [lowest.length, (await this.codec.compress(image, { quality: HIGHEST })).length];
  }

  /**
   * Return one .fmae file of several images. A limit of bytes holds for their mean.
   *
   * @param {DecodedImage[]} images
   * @param {string[]} names
   * @param {Setting} setting
   * @returns {Promise<Uint8Array>}
   * @throws {InputError} if the names are invalid or not different
   */
  stack(images, names, setting) {
    const limit = "maxBytes" in setting ? { maxBytes: setting.maxBytes * images.length } : setting;
    return this.codec.compressBatch(images, { ...limit, names });
  }

  /**
   * Return whether a file begins as .fmae files do.
   *
   * @param {Uint8Array} start
   * @returns {boolean}
   */
  isFmae(start) {
    return isFmae(start);
  }

  /**
   * Return the first images of a .fmae file, and how many it has.
   *
   * @param {Uint8Array} content
   * @param {number} most
   * @returns {Promise<{ images: OpenedImage[], total: number }>}
   * @throws {InputError} if it is not a complete .fmae file of this bundle
   */
  async open(content, most) {
    const file = await this.codec.parse(content);
    const { images: total, names, qualities, payloadBytes } = file.describe();
    const images = [];
    for (let index = 0; index < Math.min(total, most); index++) {
      const image = /** @type {DecodedImage} */ (await this.codec.decompress(file, { index }));
      images.push({ image, name: names && names[index], quality: qualities[index], bytes: payloadBytes[index] });
    }
    return { images, total };
  }
}
