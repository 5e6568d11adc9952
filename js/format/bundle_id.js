/** The bundle id, as text and as the bytes that check codes cover. */

import { ArgumentError, shown } from "../errors.js";

/**
 * Return the 8 bytes of a bundle id.
 *
 * @param {string} bundleId 16 hexadecimal digits
 * @returns {Uint8Array}
 * @throws {ArgumentError} if it is something else
 */
export function idBytes(bundleId) {
  if (typeof bundleId !== "string" || !/^[0-9a-f]{16}$/.test(bundleId)) {
    throw new ArgumentError(
      "bundleId",
      `is ${shown(bundleId)}; expected 16 hexadecimal digits, a to f in lower case`,
    );
  }
  return Uint8Array.from({ length: 8 }, (_, index) => parseInt(bundleId.slice(2 * index, 2 * index + 2), 16));
}
