/** The compiled kernels, and their memory. */

import { FmaeError, ResourceError, messageOf } from "../errors.js";
import { KERNELS } from "./kernels_wasm.js";

const PAGE = 65_536;
const ALIGNMENT = 16;
const SLACK = 64; // kernels read and write whole vectors, so up to 63 bytes after an array

/** @type {Promise<WebAssembly.Module> | undefined} */
let compiled;

/** An instance of the kernels with memory of its own. */
export class Kernels {
  /** @param {WebAssembly.Instance} instance */
  constructor(instance) {
    /** @type {Record<string, (...numbers: number[]) => number | void>} */
    this.call = /** @type {any} */ (instance.exports);
    this.memory = /** @type {WebAssembly.Memory} */ (instance.exports.memory);
    this.end = /** @type {WebAssembly.Global} */ (instance.exports.__heap_base).value;
  }

  /**
   * Return the address of `size` new bytes, all of them 0.
   *
   * @param {number} size
   * @throws {ResourceError}
   */
  allocate(size) {
    const address = Math.ceil(this.end / ALIGNMENT) * ALIGNMENT;
    const end = address + size + SLACK;
    const pages = Math.ceil((end - this.memory.buffer.byteLength) / PAGE);
    if (pages > 0) {
      try {
        this.memory.grow(pages);
      } catch {
        throw new ResourceError(`the graph needs more than ${Math.ceil(end / 2 ** 20)} MiB of memory`);
      }
    }
    this.end = end;
    return address;
  }

  /**
   * Return the address of a copy of `numbers`.
   *
   * @param {Uint8Array | Int16Array | Int32Array | Float32Array} numbers
   */
  copy(numbers) {
    const address = this.allocate(numbers.byteLength);
    this.bytes(address, numbers.byteLength).set(
      new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength),
    );
    return address;
  }

  /**
   * Return a view of `size` bytes, valid until memory is allocated.
   *
   * @param {number} address
   * @param {number} size
   */
  bytes(address, size) {
    return new Uint8Array(this.memory.buffer, address, size);
  }
}

/**
 * Return a new instance of the kernels; they are compiled once.
 *
 * @returns {Promise<Kernels>}
 * @throws {ResourceError}
 * @throws {FmaeError} if this browser cannot run them, or may not
 */
export async function newKernels() {
  try {
    compiled ??= WebAssembly.compile(Uint8Array.from(atob(KERNELS), (letter) => letter.charCodeAt(0)));
    return new Kernels(await WebAssembly.instantiate(await compiled, {}));
  } catch (error) {
    compiled = undefined;
    if (error instanceof RangeError) {
      throw new ResourceError("there is not enough memory for another graph");
    }
    throw new FmaeError(`WebAssembly with SIMD does not run here: ${messageOf(error)}`);
  }
}
