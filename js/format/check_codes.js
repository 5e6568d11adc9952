/** The check codes of .fmae files and packets, in pieces: the code of `a` then `b` is `crc(b, crc(a))`. */

const CRC_16 = new Uint16Array(256).map((_, byte) =>
  remainder(byte << 8, (value) => (value << 1) ^ (value & 0x8000 ? 0x1021 : 0)),
);
const CRC_32 = new Uint32Array(256).map((_, byte) =>
  remainder(byte, (value) => (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0)),
);

/**
 * @param {number} value
 * @param {(value: number) => number} shift
 */
function remainder(value, shift) {
  for (let bit = 0; bit < 8; bit++) {
    value = shift(value);
  }
  return value;
}

/**
 * Return the CRC-16 of bytes: polynomial 0x1021, no reflection, no final inversion.
 *
 * @param {Uint8Array} bytes
 * @param {number} [before] the code of the bytes before these
 * @returns {number}
 */
export function crc16(bytes, before = 0) {
  let value = before;
  for (let index = 0; index < bytes.length; index++) {
    value = ((value << 8) & 0xffff) ^ CRC_16[(value >> 8) ^ bytes[index]];
  }
  return value;
}

/**
 * Return the CRC-32 of bytes, as in zip and PNG.
 *
 * @param {Uint8Array} bytes
 * @param {number} [before] the code of the bytes before these
 * @returns {number}
 */
export function crc32(bytes, before = 0) {
  let value = ~before;
  for (let index = 0; index < bytes.length; index++) {
    value = (value >>> 8) ^ CRC_32[(value ^ bytes[index]) & 255];
  }
  return ~value >>> 0;
}
