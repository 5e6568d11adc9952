/** Change bytes at random, as damage and attackers do. */

/** @typedef {import("./random.js").Random} Random */

const EXTREMES = [0, 1, 0x7f, 0x80, 0xfe, 0xff];

/**
 * Return other bytes than `content`, or by chance the same. A piece of `other` may replace a part.
 *
 * @param {Random} random
 * @param {Uint8Array} content
 * @param {Uint8Array} other
 * @returns {Uint8Array}
 */
export function mutate(random, content, other) {
  /** @type {Uint8Array} */
  let bytes = content.slice();
  for (let count = 1 + random.below(3); count > 0; count--) {
    bytes = random.of(MUTATIONS)(random, bytes, other);
  }
  return bytes;
}

/** @type {((random: Random, bytes: Uint8Array, other: Uint8Array) => Uint8Array)[]} */
const MUTATIONS = [
  (random, bytes) => {
    const at = random.below(bytes.length + 1);
    return replaced(
      bytes,
      at,
      1,
      bytes.subarray(at, at + 1).map((byte) => byte ^ (1 << random.below(8))),
    );
  },
  (random, bytes) => replaced(bytes, random.below(bytes.length + 1), 1, Uint8Array.of(random.of(EXTREMES))),
  (random, bytes) => replaced(bytes, random.below(bytes.length + 1), 1, random.bytes(1)),
  (random, bytes) => replaced(bytes, random.below(bytes.length + 1), 0, random.bytes(1 + random.below(4))),
  (random, bytes) => replaced(bytes, random.below(bytes.length + 1), 1 + random.below(8), new Uint8Array(0)),
  (random, bytes) => bytes.slice(0, random.below(bytes.length + 1)),
  (random, bytes, other) => {
    const from = random.below(other.length + 1);
    const piece = other.subarray(from, from + random.below(32));
    return replaced(bytes, random.below(bytes.length + 1), random.below(32), piece);
  },
];

/**
 * @param {Uint8Array} bytes
 * @param {number} at
 * @param {number} count of bytes that `piece` replaces
 * @param {Uint8Array} piece
 */
function replaced(bytes, at, count, piece) {
  const rest = bytes.subarray(at + count);
  const result = new Uint8Array(at + piece.length + rest.length);
  result.set(bytes.subarray(0, at));
  result.set(piece, at);
  result.set(rest, at + piece.length);
  return result;
}
