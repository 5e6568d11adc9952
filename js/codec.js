/** The codec: convert images to latents and .fmae files, and back, with the graphs and the prior of a bundle. */

import { asQuality } from "./arguments.js";
import { Bundle } from "./bundle/bundle.js";
import { COMPRESS_OPTIONS, asCoding, asOptions } from "./coding_options.js";
import { asPrecision } from "./engine/engine.js";
import { ArgumentError, shown } from "./errors.js";
import { FmaeReader } from "./fmae_reader.js";
import { FmaeWriter } from "./fmae_writer.js";
import { asImage, asImages } from "./images.js";
import { LatentCoder } from "./latent_coder.js";
import { asLatents, asSymbols } from "./latents.js";
import { PacketCodec } from "./packets.js";

/** @import { BundleLike } from "./bundle/bundle_source.js" */
/** @import { CompressOptions, DecompressOptions } from "./coding_options.js" */
/** @import { CreateEngine, Engine, Precision } from "./engine/engine.js" */
/** @import { FmaeFile } from "./format/fmae_contents.js" */
/** @import { DecodedImage, ImageLike } from "./images.js" */

/**
 * The bytes of a file, or what `parse` returned for them.
 *
 * @typedef {Uint8Array | ArrayBuffer | FmaeFile} FmaeLike
 */

/**
 * Compresses and decompresses images with a bundle.
 *
 * @example
 * const codec = await Codec.load("bundles/default"); // a URL or files; in Node also the path of a folder
 * const content = await codec.compress(imageData); // the bytes of a .fmae file
 * const image = await codec.decompress(content); // { width, height, channels, data }
 * canvas.getContext("2d").putImageData(toImageData(image), 0, 0);
 */
export class Codec {
  #bundle;
  #coder;
  #reader;
  #writer;
  #createEngine;
  /** @type {Promise<Engine> | null} */
  #engine = null;

  /**
   * Use `Codec.load`, or pass a bundle that is already loaded.
   *
   * @param {Bundle} bundle
   * @param {{ engine?: CreateEngine, precision?: Precision }} [options] as for `load`
   */
  constructor(bundle, { engine = own, precision = "int8" } = {}) {
    const checked = asPrecision(precision);
    if (typeof engine !== "function") {
      throw new ArgumentError("engine", `is ${shown(engine)}; expected the createEngine of an engine`);
    }
    this.#bundle = bundle;
    this.#createEngine = () => engine(bundle, { precision: checked });
    this.#coder = new LatentCoder(bundle, () => this.#loadedEngine());
    this.#reader = new FmaeReader(this.#coder);
    this.#writer = new FmaeWriter(this.#coder);
    /** Packets of images: `compress` makes them, `decompress` reads any of them. */
    this.packets = new PacketCodec(this.#coder);
  }

  /**
   * Load a bundle and return its codec. Graphs and the engine are loaded when they are first needed, because
   * symbols and names need neither.
   *
   * @param {BundleLike} bundle the URL of a folder, an array of `File`, or the bytes of each file by its name
   * @param {object} [options]
   * @param {CreateEngine} [options.engine] runs the graphs; the default is that of engine/own.js
   * @param {Precision} [options.precision] "int8" (the default) writes the files that Python writes; "fp32"
   *   runs the float32 graphs
   * @param {string} [options.expectId] the bundle's id, or the SHA-256 of its manifest.json
   * @returns {Promise<Codec>}
   * @throws {BundleError} if the bundle is incomplete, damaged, or not the expected one
   * @throws {InputError} if an argument is invalid
   */
  static async load(bundle, options = {}) {
    const { engine, precision, expectId } = asOptions(options, ["engine", "precision", "expectId"]);
    asPrecision(precision ?? "int8");
    return new Codec(await Bundle.load(bundle, { expectId }), { engine, precision });
  }

  /** 16 hexadecimal digits: a hash over what decoding depends on. */
  get bundleId() {
    return this.#bundle.bundleId;
  }

  /** The bundle's manifest: geometry, quantiser steps, a record of how it was made. */
  get manifest() {
    return this.#bundle.manifest;
  }

  /** The size of the bundle's images: `width`, `height` and `channels`. */
  get image() {
    return { ...this.#coder.size };
  }

  /** Free the engine's memory. A later call loads it again. */
  async close() {
    const engine = this.#engine;
    this.#engine = null;
    await (await engine)?.close();
  }

  /**
   * Encode an image, or an array of images, to latent values.
   *
   * @template {ImageLike | readonly ImageLike[]} Images
   * @param {Images} images
   * @returns {Promise<Images extends readonly ImageLike[] ? Float32Array[] : Float32Array>} (latents) for each
   *   image
   * @throws {InputError} if an image has another size or other channels, or is not opaque
   * @throws {BundleError} if the encoder cannot be loaded or fails
   */
  async encode(images) {
    const isList = Array.isArray(images);
    const { size } = this.#coder;
    const checked = isList ? asImages(images, size) : [asImage(/** @type {ImageLike} */ (images), size)];
    const latents = await this.#coder.latents(checked);
    return /** @type {any} */ (isList ? latents : latents[0]);
  }

  /**
   * Decode latent values, or an array of them, to images. With `quality`, they are the symbols of a .fmae file of
   * that quality, as `symbols` returns them.
   *
   * @param {unknown} latents Float32Array (latents), or with `quality` integers, or an array of them
   * @param {number} [quality] 1 to 9
   * @returns {Promise<DecodedImage | DecodedImage[]>}
   * @throws {InputError} if there is another number of latents, or they are not finite
   * @throws {BundleError} if the decoder cannot be loaded or fails
   */
  async decode(latents, quality) {
    const { latentSize } = this.#coder;
    const { rows, isList } =
      quality === undefined ? asLatents(latents, latentSize) : asSymbols(latents, latentSize);
    const values = quality === undefined ? rows : rows.map((row) => this.#coder.values(row, asQuality(quality)));
    const images = await this.#coder.images(/** @type {Float32Array[]} */ (values));
    return isList ? images : images[0];
  }

  /**
   * Return the bytes of a .fmae file of one image.
   *
   * `quality` is 1 (fewest bytes) to 9, by default 5. `maxBytes` or `minPsnr` may choose it instead: the one with
   * the best PSNR in a file of at most `maxBytes`, or the lowest one whose image, as this codec decodes it, has at
   * least `minPsnr` dB; if there is none, the image becomes lossless. With `bare`, the result is the payload
   * alone, for callers who know bundle and quality and detect damage. `effort` other than 0 is refused: searching
   * for fewer bytes is left to the Python package.
   *
   * @param {ImageLike} image
   * @param {CompressOptions} [options]
   * @returns {Promise<Uint8Array>}
   * @throws {InputError} if the image or an option is invalid, or no quality fits into `maxBytes`
   * @throws {BundleError} if the bundle has no prior, or the encoder cannot be loaded or fails
   */
  async compress(image, options = {}) {
    return this.#writer.one(asImage(image, this.#coder.size), asCoding(options));
  }

  /**
   * Return the bytes of one .fmae file of a stack of images, with one name per image if given.
   *
   * The options are those of `compress`. `maxBytes` limits the file, `minPsnr` holds for each image, which gets
   * its own quality. With `bare`, returns an array of payloads. Throws as `compress` does.
   *
   * @template {CompressOptions & { names?: string[] }} [Options={}]
   * @param {readonly ImageLike[]} images
   * @param {Options} [options]
   * @returns {Promise<Options extends { bare: true } ? Uint8Array[] : Uint8Array>}
   */
  async compressBatch(images, options = /** @type {Options} */ ({})) {
    const { names, ...others } = asOptions(options, ["names", ...COMPRESS_OPTIONS]);
    const coding = asCoding(others);
    const checked = asImages(images, this.#coder.size);
    if (coding.bare && names !== undefined) {
      throw new ArgumentError("names", "need a .fmae file; bare payloads have none");
    }
    const result = coding.bare
      ? await this.#writer.bare(checked, coding.quality)
      : await this.#writer.stack(checked, coding, names ?? null);
    return /** @type {any} */ (result);
  }

  /**
   * Parse and check the bytes of a .fmae file. The methods below take the result in place of the bytes.
   *
   * @param {FmaeLike} content
   * @param {{ maxImages?: number }} [options] bounds time: 130 kB may claim a million images
   * @returns {Promise<FmaeFile>}
   * @throws {InputError} if it is not a complete .fmae file of this bundle, or has more than `maxImages` images
   */
  async parse(content, options = {}) {
    const { maxImages } = asOptions(options, ["maxImages"]);
    return this.#reader.parse(content, maxImages);
  }

  /**
   * Return the image in a .fmae file, or an array of the images if the file holds a stack. With `index`, decode
   * and return only that image. With `bare`, `content` is a payload of that `quality`, or an array of them.
   *
   * @param {FmaeLike | readonly Uint8Array[]} content
   * @param {DecompressOptions & { index?: number }} [options]
   * @returns {Promise<DecodedImage | DecodedImage[]>}
   * @throws {InputError} as `parse` does, or if there is no image `index`
   * @throws {BundleError} if the decoder cannot be loaded or fails
   */
  async decompress(content, options = {}) {
    return this.#reader.imageOrStack(content, options);
  }

  /**
   * Return an array of the images in a .fmae file, even if it holds a single image. Throws as `decompress` does.
   *
   * @param {FmaeLike | readonly Uint8Array[]} content
   * @param {DecompressOptions} [options]
   * @returns {Promise<DecodedImage[]>}
   */
  async decompressBatch(content, options = {}) {
    return this.#reader.stack(content, options);
  }

  /**
   * Return the quantised latents (latents) of each image in a .fmae file, in quantiser steps of the file's
   * quality. They are the same on every machine.
   *
   * @param {FmaeLike} content
   * @param {{ maxImages?: number }} [options]
   * @returns {Promise<Int32Array[]>}
   * @throws {InputError} as `parse` does, and if the file's quality is 0
   */
  async symbols(content, options = {}) {
    const { maxImages } = asOptions(options, ["maxImages"]);
    return this.#reader.symbols(this.#reader.parse(content, maxImages));
  }

  /**
   * Return the names of the images in a .fmae file, null if it has no names.
   *
   * @param {FmaeLike} content
   * @returns {Promise<string[] | null>}
   * @throws {InputError} as `parse` does, and if the names are invalid; the images can still be decoded
   */
  async names(content) {
    return this.#reader.parse(content, undefined).names;
  }

  /**
   * Describe a .fmae file without decoding it: number of images, quality, names, bytes per image.
   *
   * @param {FmaeLike} content
   * @throws {InputError} as `parse` does
   */
  async inspect(content) {
    return this.#reader.parse(content, undefined).describe();
  }

  async #loadedEngine() {
    const engine = (this.#engine ??= this.#createEngine());
    try {
      return await engine;
    } catch (error) {
      this.#engine = null; // a later call may succeed
      throw error;
    }
  }
}

/** @type {CreateEngine} */
async function own(bundle, options) {
  const { createEngine } = await import("./engine/own.js");
  return createEngine(bundle, options);
}
