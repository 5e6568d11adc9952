/**
 * The size of a WebP or JPEG file without its colour profile.
 *
 * Chromium adds the profile of sRGB to each file, which is several times as large as the rest of a small image. A
 * file without it looks the same.
 */

const [RIFF_BYTES, CHUNK_BYTES, EXTENDED_BYTES] = [12, 8, 10]; // the last is the size of a VP8X chunk's content
const PROFILE_FLAG = 0x20;
const [APP2, SCAN] = [0xe2, 0xda]; // markers of JPEG

/**
 * @param {Uint8Array} file a complete WebP or JPEG file
 * @returns {number} bytes
 */
export function bytesWithoutProfile(file) {
  return file.length - (textAt(file, 0) === "RIFF" ? profileOfWebp(file) : profileOfJpeg(file));
}

/**
 * A profile needs a VP8X chunk, which a file without one and without transparency and animation does not have.
 *
 * @param {Uint8Array} file
 */
function profileOfWebp(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  let bytes = 0;
  for (let at = RIFF_BYTES; at + CHUNK_BYTES <= file.length; ) {
    const kind = textAt(file, at);
    const size = view.getUint32(at + 4, true);
    const whole = CHUNK_BYTES + size + (size % 2); // chunks are padded to even sizes
    const isForProfile =
      kind === "VP8X" && size === EXTENDED_BYTES && file[at + CHUNK_BYTES] === PROFILE_FLAG;
    if (kind === "ICCP" || isForProfile) {
      bytes += whole;
    }
    at += whole;
  }
  return bytes;
}

/** @param {Uint8Array} file */
function profileOfJpeg(file) {
  let bytes = 0;
  for (let at = 2; at + 4 <= file.length && file[at + 1] !== SCAN; ) {
    const whole = 2 + file[at + 2] * 256 + file[at + 3];
    if (file[at + 1] === APP2 && textAt(file, at + 4) === "ICC_") {
      bytes += whole;
    }
    at += whole;
  }
  return bytes;
}

/**
 * @param {Uint8Array} file
 * @param {number} at
 */
function textAt(file, at) {
  return String.fromCharCode(...file.subarray(at, at + 4));
}
