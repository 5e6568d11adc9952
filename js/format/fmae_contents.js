/** What a .fmae file contains: its parsed form, and its description for people and programs. */

import { InputError } from "../errors.js";
import { readNames } from "./names.js";

/** @typedef {import("./payloads.js").Payloads} Payloads */

export const PATHS_VERSION = 2; // names may be relative paths

/**
 * A .fmae file that was parsed: one image if `single`, else a stack. `quality` is 1 to 9, or 0 if the image is
 * lossless or if each image of a stack has its own.
 */
export class FmaeFile {
  /**
   * @param {{ version: number, bundleId: string, quality: number, single: boolean, fileBytes: number }} header
   * @param {Payloads} payloads as stored: with `quality` 0, those of a stack begin with the image's quality
   * @param {Uint8Array | null} listed the names as stored, not checked yet
   */
  constructor(header, payloads, listed) {
    this.version = header.version;
    /** Of the bundle it was parsed for; from `describeFmae` only the beginning that the file has. */
    this.bundleId = header.bundleId;
    this.quality = header.quality;
    this.single = header.single;
    this.fileBytes = header.fileBytes;
    this.payloads = payloads;
    this.listed = listed;
  }

  /**
   * The names of the images, null if the file has no names.
   *
   * @returns {string[] | null}
   * @throws {InputError} if spec/format.md does not allow them; the images can still be decoded
   */
  get names() {
    if (this.listed === null) {
      return null;
    }
    try {
      return readNames(this.listed, this.payloads.length, { paths: this.version >= PATHS_VERSION });
    } catch (error) {
      throw new InputError(`contains invalid image names: ${/** @type {Error} */ (error).message}`);
    }
  }

  /** The quality of each image: 1 to 9, or 0 if it is lossless. */
  get qualities() {
    const { payloads, quality, single } = this;
    const qualities = new Uint8Array(payloads.length).fill(quality);
    if (!quality && !single) {
      qualities.forEach((_, index) => (qualities[index] = payloads.body[payloads.begins[index]]));
    }
    return qualities;
  }

  /**
   * Return the quality of an image, and its payload without the byte for it.
   *
   * @param {number} index from 0
   * @returns {{ quality: number, payload: Uint8Array }}
   * @throws {InputError} if there is no such image
   */
  image(index) {
    const payload = this.payloads.at(index);
    if (this.quality || this.single) {
      return { quality: this.quality, payload };
    }
    return { quality: payload[0], payload: payload.subarray(1) };
  }

  /**
   * Refuse payloads that are longer than any that an encoder writes for images of this size.
   *
   * @param {number} latentSize
   * @param {number} pixels channels x height x width
   * @throws {InputError}
   */
  requireFitting(latentSize, pixels) {
    const { lengths } = this.payloads;
    const { qualities } = this;
    const extra = this.quality || this.single ? 0 : 1; // the byte of the image's quality
    for (let index = 0; index < lengths.length; index++) {
      if (lengths[index] - extra > (qualities[index] ? 4 * latentSize : pixels) + 1) {
        throw new InputError(`corrupted: a payload has ${lengths[index]} bytes, more than one image can take`);
      }
    }
  }

  /** Return the header as plain data; if the names are invalid, `namesError` is the reason. */
  describe() {
    let names = null;
    let namesError = null;
    try {
      names = this.names;
    } catch (error) {
      namesError = /** @type {Error} */ (error).message;
    }
    return {
      formatVersion: this.version,
      bundleId: this.bundleId,
      quality: this.quality,
      images: this.payloads.length,
      single: this.single,
      fileBytes: this.fileBytes,
      payloadBytes: [...this.payloads.lengths],
      names,
      namesError,
      qualities: [...this.qualities],
    };
  }
}
