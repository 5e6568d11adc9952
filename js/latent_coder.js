/** Code images as symbols and payloads and back, with the graphs, the quantiser and the prior of a bundle. */

import { MAX_SYMBOL } from "./entropy/prior.js";
import { decodeSymbols, encodeSymbols } from "./entropy/symbol_coder.js";
import { roundHalfEven } from "./engine/levels.js";
import { BundleError } from "./errors.js";
import { toImages, toPlanes } from "./images.js";

/** @import { Bundle } from "./bundle/bundle.js" */
/** @import { Engine } from "./engine/engine.js" */
/** @import { DecodedImage, ImageLike } from "./images.js" */

const NUMBERS_AT_ONCE = 256 * 28 * 28; // of pixels and channels, which bounds memory
const MAX_IMAGES_AT_ONCE = 256;

/**
 * The symbols (latents) of an image and their quality.
 *
 * @typedef {{ symbols: Int32Array, quality: number }} Coded
 */

/** Codes images with a bundle. The engine is created at its first use: symbols and names do not need it. */
export class LatentCoder {
  /**
   * @param {Bundle} bundle
   * @param {() => Promise<Engine>} engine
   */
  constructor(bundle, engine) {
    const { imageWidth: width, imageHeight: height, imageChannels: channels, latentSize } = bundle.manifest;
    this.bundle = bundle;
    this.engine = engine;
    this.size = { width, height, channels };
    this.pixels = width * height * channels;
    this.latentSize = latentSize;
    this.imagesAtOnce = Math.max(1, Math.min(MAX_IMAGES_AT_ONCE, Math.floor(NUMBERS_AT_ONCE / this.pixels)));
  }

  /** The bundle's prior. Throws BundleError if it has none. */
  get prior() {
    return this.#coding.prior;
  }

  /**
   * Return the latent values of checked images, one array per image.
   *
   * @param {readonly ImageLike[]} images
   * @returns {Promise<Float32Array[]>}
   * @throws {BundleError} if the graph fails
   */
  async latents(images) {
    const engine = await this.engine();
    const latents = [];
    for (const part of parts(images, this.imagesAtOnce)) {
      latents.push(...rows(await engine.encode(toPlanes(part, this.size), part.length), this.latentSize));
    }
    return latents;
  }

  /**
   * Return the images of latent values.
   *
   * @param {readonly Float32Array[]} latents
   * @returns {Promise<DecodedImage[]>}
   * @throws {BundleError} if the graph fails
   */
  async images(latents) {
    const images = [];
    for (const part of parts(latents, this.imagesAtOnce)) {
      images.push(...toImages(await this.#planes(part), this.size));
    }
    return images;
  }

  /**
   * Return the images of symbols.
   *
   * @param {readonly Coded[]} coded
   * @returns {Promise<DecodedImage[]>}
   * @throws {BundleError} if the bundle has no prior, or the graph fails
   */
  async imagesOf(coded) {
    const images = [];
    for (const part of parts(coded, this.imagesAtOnce)) {
      const values = part.map(({ symbols, quality }) => this.values(symbols, quality));
      images.push(...toImages(await this.#planes(values), this.size));
    }
    return images;
  }

  /**
   * Return the symbols of latent values: the nearest quantiser steps, halves to even.
   *
   * @param {Float32Array} latents
   * @param {number} quality 1 to 9
   * @returns {Int32Array}
   */
  quantise(latents, quality) {
    const step = this.#step(quality);
    return Int32Array.from(latents, (value) => {
      const inSteps = Math.fround(value / step);
      return roundHalfEven(Math.min(Math.max(inSteps, -MAX_SYMBOL), MAX_SYMBOL));
    });
  }

  /**
   * Return the latent values of symbols.
   *
   * @param {ArrayLike<number>} symbols
   * @param {number} quality 1 to 9
   * @returns {Float32Array}
   */
  values(symbols, quality) {
    const step = this.#step(quality);
    return Float32Array.from(symbols, (symbol) => Math.fround(symbol) * step);
  }

  /**
   * Return the payload of symbols.
   *
   * @param {Int32Array} symbols
   * @param {number} quality 1 to 9
   */
  payload(symbols, quality) {
    return encodeSymbols(this.prior, symbols, quality);
  }

  /**
   * Return the symbols in a payload.
   *
   * @param {Uint8Array} payload
   * @param {number} quality 1 to 9
   */
  symbols(payload, quality) {
    return decodeSymbols(this.prior, payload, quality);
  }

  /**
   * Return the squared error of each image that symbols decode to: a sum, in levels 0 to 255.
   *
   * @param {readonly Int32Array[]} symbols
   * @param {readonly ImageLike[]} images that were checked
   * @param {number} quality 1 to 9
   * @returns {Promise<number[]>}
   */
  async squaredErrors(symbols, images, quality) {
    const errors = [];
    for (let first = 0; first < images.length; first += this.imagesAtOnce) {
      const originals = toPlanes(images.slice(first, first + this.imagesAtOnce), this.size);
      const some = symbols.slice(first, first + this.imagesAtOnce);
      const decoded = await this.#planes(some.map((each) => this.values(each, quality)));
      for (let image = 0; image < some.length; image++) {
        const [begin, end] = [image * this.pixels, (image + 1) * this.pixels];
        errors.push(squaredError(originals.subarray(begin, end), decoded.subarray(begin, end)));
      }
    }
    return errors;
  }

  /** @param {readonly Float32Array[]} latents */
  async #planes(latents) {
    const values = new Float32Array(latents.length * this.latentSize);
    latents.forEach((row, number) => values.set(row, number * this.latentSize));
    return (await this.engine()).decode(values, latents.length);
  }

  /** @param {number} quality */
  #step(quality) {
    const { steps, unit } = this.#coding.qualities;
    return Math.fround(steps[quality - 1] * unit);
  }

  get #coding() {
    const { prior, where, manifest } = this.bundle;
    if (prior === null || manifest.qualities === null) {
      throw new BundleError(`${where}: has no prior, which .fmae files need; export the bundle again`);
    }
    return { prior, qualities: manifest.qualities };
  }
}

/**
 * Yield consecutive parts of a list.
 *
 * @template Item
 * @param {readonly Item[]} items
 * @param {number} most items in a part
 */
function* parts(items, most) {
  for (let first = 0; first < items.length; first += most) {
    yield items.slice(first, first + most);
  }
}

/**
 * @param {Float32Array} values
 * @param {number} length of a row
 */
function rows(values, length) {
  return Array.from({ length: values.length / length }, (_, row) =>
    values.slice(row * length, (row + 1) * length),
  );
}

/**
 * @param {Uint8Array} one
 * @param {Uint8Array} other
 */
function squaredError(one, other) {
  let sum = 0;
  for (let index = 0; index < one.length; index++) {
    sum += (one[index] - other[index]) ** 2;
  }
  return sum;
}
