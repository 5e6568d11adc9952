import { BundleError } from "../errors.js";

/**
 * Return the SHA-256 of bytes as 64 hexadecimal digits.
 *
 * @param {Uint8Array} bytes
 * @returns {Promise<string>}
 * @throws {BundleError} if there is no WebCrypto, which browsers offer to pages of https and localhost only
 */
export async function sha256(bytes) {
  const subtle = globalThis.crypto?.subtle;
  if (subtle === undefined) {
    throw new BundleError("a bundle cannot be checked here: browsers have WebCrypto on https and localhost only");
  }
  const hash = new Uint8Array(await subtle.digest("SHA-256", /** @type {Uint8Array<ArrayBuffer>} */ (bytes)));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
