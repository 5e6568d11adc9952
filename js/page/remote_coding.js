/** The codec of a bundle in a thread of its own. */

import { ResourceError } from "../errors.js";
import { errorOf } from "./sent_errors.js";

/** @import { OtherFile } from "./browser_codecs.js" */
/** @import { Coded, Coding, Description, Setting } from "./coding.js" */
/** @import { DecodedImage } from "../images.js" */
/** @import { SentError } from "./sent_errors.js" */

/** @typedef {{ resolve: (result: any) => void, reject: (error: Error) => void }} Waiting */
/** @typedef {{ id: number, result?: unknown, failure?: SentError }} Answer */

/** Has the methods of `Coding`, and `compareFormats` of browser_codecs.js. */
export class RemoteCoding {
  /** @type {Map<number, Waiting>} */
  #waiting = new Map();
  #calls = 0;

  constructor() {
    this.worker = new Worker(new URL("coding_worker.js", import.meta.url), { type: "module" });
    this.worker.addEventListener("message", ({ data }) => this.#onAnswer(data));
    this.worker.addEventListener("error", () => this.#failAll());
  }

  /**
   * @param {string} url of the bundle's folder
   * @returns {Promise<Description>}
   * @throws {BundleError} if the bundle is incomplete or damaged
   */
  load(url) {
    return this.#call("load", url);
  }

  /** @returns {Promise<DecodedImage[]>} */
  examples() {
    return this.#call("examples");
  }

  /**
   * @param {DecodedImage} image
   * @param {Setting} setting
   * @returns {Promise<Coded>}
   */
  code(image, setting) {
    return this.#call("code", image, setting);
  }

  /**
   * @param {DecodedImage} image
   * @returns {Promise<[number, number]>}
   */
  extremes(image) {
    return this.#call("extremes", image);
  }

  /**
   * @param {DecodedImage[]} images
   * @param {string[]} names
   * @param {Setting} setting
   * @returns {Promise<Uint8Array>}
   */
  stack(images, names, setting) {
    return this.#call("stack", images, names, setting);
  }

  /**
   * @param {Uint8Array} start
   * @returns {Promise<boolean>}
   */
  isFmae(start) {
    return this.#call("isFmae", start);
  }

  /**
   * @param {Uint8Array} content
   * @param {number} most
   * @returns {ReturnType<Coding["open"]>}
   */
  open(content, most) {
    return this.#call("open", content, most);
  }

  /**
   * @param {DecodedImage} image
   * @param {number} wanted in dB
   * @returns {Promise<OtherFile[]>}
   */
  compareFormats(image, wanted) {
    return this.#call("compareFormats", image, wanted);
  }

  /**
   * @param {string} method
   * @param {unknown[]} args
   * @returns {Promise<any>}
   */
  #call(method, ...args) {
    return new Promise((resolve, reject) => {
      const id = this.#calls++;
      this.#waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, method, args });
    });
  }

  /** @param {Answer} answer */
  #onAnswer({ id, result, failure }) {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (failure) {
      waiting?.reject(errorOf(failure));
    } else {
      waiting?.resolve(result);
    }
  }

  /** The thread could not be started, or has ended. */
  #failAll() {
    for (const { reject } of this.#waiting.values()) {
      reject(new ResourceError("the browser cannot run the codec: reload the page, or use a newer browser"));
    }
    this.#waiting.clear();
  }
}
