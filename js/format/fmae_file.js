/**
 * Read and write .fmae files: payloads of the entropy coder, with a header. spec/format.md specifies the format.
 *
 * A file of a single image has 7 bytes in addition to its payload. A file of a stack has one header, whose index
 * says where each payload begins, so that one image can be decoded without the others.
 */

import { QUALITIES, asBytes, asIntegerFrom, asMaxImages } from "../arguments.js";
import { InputError } from "../errors.js";
import { idBytes } from "./bundle_id.js";
import { crc16, crc32 } from "./check_codes.js";
import { FmaeFile, PATHS_VERSION } from "./fmae_contents.js";
import { asNames } from "./names.js";
import { HeaderReader, packIndex, readIndex, varint } from "./payload_index.js";
import { MAX_IMAGES, Payloads, maxPayloadBytes, requireImages, requirePayloadBytes } from "./payloads.js";

const FIRST_VERSION = 1;
const LOSSLESS_VERSION = 3; // the quality may be 0
const MAGIC = 0xfae;
const START_BYTES = 3; // magic, version, and one byte of quality and kind
const CHECK_BYTES = 2;
const BODY_CHECK_BYTES = 4;
const MANY = 0x80;
const NAMED = 0x10;
const RESERVED = 0x60;

/**
 * Return whether the bytes of a file begin like a .fmae file of any version.
 *
 * @param {Uint8Array} content
 */
export function isFmae(content) {
  return content.length >= START_BYTES && ((content[0] << 4) | (content[1] >> 4)) === MAGIC;
}

/**
 * Parse and check the bytes of a file, for the bundle with `bundleId`.
 *
 * @param {Uint8Array} content
 * @param {string} bundleId 16 hexadecimal digits
 * @param {{ maxImages?: number }} [options]
 * @returns {FmaeFile}
 * @throws {InputError} if it is not a .fmae file, needs a newer fmae-edge, was made by another bundle, is damaged,
 *   or claims more than `maxImages` images; each case has its own message
 */
export function parseFmae(content, bundleId, options = {}) {
  return parse(content, { text: bundleId, bytes: idBytes(bundleId) }, options);
}

/**
 * Describe a .fmae file without its bundle. `bundleId` then has only the beginning of the id that is in the file,
 * and check codes that need the whole id are not compared: those of the payloads of a stack are.
 *
 * @param {Uint8Array} content
 * @param {{ maxImages?: number }} [options]
 * @throws {InputError} as `parseFmae` does
 */
export function describeFmae(content, options = {}) {
  return parse(content, null, options).describe();
}

/**
 * @param {Uint8Array} given
 * @param {{ text: string, bytes: Uint8Array } | null} bundleId
 * @param {{ maxImages?: number }} options
 * @returns {FmaeFile}
 */
function parse(given, bundleId, { maxImages = MAX_IMAGES }) {
  const content = asBytes(given, "a .fmae file");
  const most = asMaxImages(maxImages);
  if (!isFmae(content)) {
    throw new InputError("not a .fmae file");
  }
  const version = content[1] & 15;
  const kind = content[2];
  if (version < FIRST_VERSION || version > LOSSLESS_VERSION) {
    throw new InputError(
      `version ${version} of the .fmae format, but this fmae-edge reads versions ${FIRST_VERSION} to ` +
        `${LOSSLESS_VERSION}: upgrade fmae-edge`,
    );
  }
  const many = (kind & MANY) !== 0;
  const quality = kind & 15;
  if (quality > QUALITIES || (quality === 0 && version < LOSSLESS_VERSION) || (many && kind & RESERVED)) {
    const byte = kind.toString(16).padStart(2, "0");
    throw new InputError(`corrupted: byte 3 is 0x${byte}, which format version ${version} does not define`);
  }
  const idEnd = START_BYTES + idLength(many);
  if (content.length < idEnd + CHECK_BYTES + (many ? BODY_CHECK_BYTES : 0)) {
    throw new InputError("truncated within its header");
  }
  const madeBy = [...content.subarray(START_BYTES, idEnd)]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
  if (bundleId !== null && !bundleId.text.startsWith(madeBy)) {
    throw new InputError(
      `made by the bundle whose id begins with ${madeBy}, but this is bundle ${bundleId.text}: ` +
        "decompress it with the bundle that compressed it",
    );
  }
  const header = {
    version,
    bundleId: bundleId?.text ?? madeBy,
    quality,
    single: !many,
    fileBytes: content.length,
  };
  const id = bundleId?.bytes ?? null;
  if (many) {
    return parseMany(content, idEnd, id, header, most);
  }
  requireImages(1, most);
  return parseOne(content, idEnd, id, header);
}

/**
 * @param {Uint8Array} content
 * @param {number} idEnd
 * @param {Uint8Array | null} id
 * @param {ConstructorParameters<typeof FmaeFile>[0]} header
 */
function parseOne(content, idEnd, id, header) {
  const payload = content.subarray(idEnd + CHECK_BYTES);
  if (payload.length % 8 !== content[2] >> 4) {
    throw new InputError("truncated or with added bytes: its payload length does not match its header");
  }
  requirePayloadBytes(payload.length, header.quality);
  if (id !== null && numberAt(content, idEnd, CHECK_BYTES) !== check(id, content.subarray(0, idEnd), payload)) {
    throw new InputError("corrupted: its check code does not match");
  }
  return new FmaeFile(header, new Payloads(payload, Uint32Array.of(payload.length)), null);
}

/**
 * @param {Uint8Array} content
 * @param {number} idEnd
 * @param {Uint8Array | null} id
 * @param {ConstructorParameters<typeof FmaeFile>[0]} header
 * @param {number} maxImages
 */
function parseMany(content, idEnd, id, header, maxImages) {
  const checkEnd = idEnd + CHECK_BYTES;
  const reader = new HeaderReader(content, checkEnd + BODY_CHECK_BYTES);
  const lengths = readIndex(reader, maxImages, maxPayloadBytes(header.quality));
  const listed = content[2] & NAMED ? reader.take(reader.varint()) : null;
  const index = content.subarray(checkEnd, reader.at);
  if (id !== null && numberAt(content, idEnd, CHECK_BYTES) !== check(id, content.subarray(0, idEnd), index)) {
    throw new InputError("corrupted: the check code of its header does not match");
  }
  const body = content.subarray(reader.at);
  const needed = lengths.reduce((sum, length) => sum + length, 0);
  if (body.length < needed) {
    throw new InputError(`truncated: it has ${body.length} of ${needed} bytes of payload`);
  }
  if (numberAt(content, checkEnd, BODY_CHECK_BYTES) !== crc32(body)) {
    throw new InputError("corrupted: the check code of its payloads does not match");
  }
  if (body.length > needed) {
    throw new InputError(`corrupted: it has ${body.length - needed} bytes after its payloads`);
  }
  const file = new FmaeFile(header, new Payloads(body, lengths), listed);
  if (
    header.quality === 0 &&
    (lengths.some((length) => length < 1) || file.qualities.some((own) => own > QUALITIES))
  ) {
    throw new InputError("corrupted: an image has no quality, or one that the format does not define");
  }
  return file;
}

/**
 * Return the bytes of a .fmae file: of the single image if `single`, else of a stack, with or without names.
 *
 * @param {object} file
 * @param {Iterable<Uint8Array>} file.payloads in a stack with `quality` 0, each begins with the image's quality
 * @param {number} file.quality 1 to 9, or 0 for a lossless image and for a stack whose images have their own
 * @param {boolean} file.single
 * @param {string} file.bundleId 16 hexadecimal digits
 * @param {string[] | null} [file.names]
 * @returns {Uint8Array}
 * @throws {InputError} if a payload is too long, there are too many, or the names are invalid
 */
export function writeFmae({ payloads, quality, single, bundleId, names = null }) {
  const id = idBytes(bundleId);
  asIntegerFrom("quality", quality, 0, QUALITIES);
  const bodies = Array.from(payloads, (payload) => asBytes(payload, "a payload"));
  const body = joined(bodies);
  const lengths = bodies.map((payload) => payload.length);
  lengths.forEach((length) => requirePayloadBytes(length, quality));
  const version = quality ? FIRST_VERSION : LOSSLESS_VERSION;
  if (single) {
    if (bodies.length !== 1 || names !== null) {
      throw new InputError(`a file of a single image has one payload and no names, got ${bodies.length} payloads`);
    }
    const start = startOf(version, quality | ((body.length % 8) << 4), id.subarray(0, idLength(false)));
    return joined([start, bigEndian(check(id, start, body), CHECK_BYTES), body]);
  }
  if (bodies.length > MAX_IMAGES) {
    throw new InputError(`a file holds at most ${MAX_IMAGES} images, got ${bodies.length}`);
  }
  const index = [bigEndian(crc32(body), BODY_CHECK_BYTES), packIndex(lengths)];
  let needed = version;
  if (names !== null) {
    const text = asNames(names, bodies.length).join("\0");
    const listed = new TextEncoder().encode(text);
    index.push(Uint8Array.from(varint(listed.length)), listed);
    needed = text.includes("/") ? Math.max(version, PATHS_VERSION) : version;
  }
  const kind = quality | MANY | (names === null ? 0 : NAMED);
  const start = startOf(needed, kind, id.subarray(0, idLength(true)));
  const checked = joined(index);
  return joined([start, bigEndian(check(id, start, checked), CHECK_BYTES), checked, body]);
}

/**
 * @param {number} version
 * @param {number} kind
 * @param {Uint8Array} id
 */
function startOf(version, kind, id) {
  return Uint8Array.of(MAGIC >> 4, ((MAGIC & 15) << 4) | version, kind, ...id);
}

/** @param {boolean} many */
function idLength(many) {
  return many ? 4 : 2;
}

/**
 * Return the CRC-16 of the full bundle id, the start of a file and the rest that the code covers.
 *
 * @param {Uint8Array} id
 * @param {Uint8Array} start
 * @param {Uint8Array} rest
 */
function check(id, start, rest) {
  return crc16(rest, crc16(start, crc16(id)));
}

/**
 * @param {Uint8Array} content
 * @param {number} at
 * @param {number} bytes
 */
function numberAt(content, at, bytes) {
  return content.subarray(at, at + bytes).reduce((number, byte) => number * 256 + byte, 0);
}

/**
 * @param {number} number
 * @param {number} bytes
 */
function bigEndian(number, bytes) {
  return Uint8Array.from({ length: bytes }, (_, index) => number >>> (8 * (bytes - 1 - index)));
}

/** @param {Uint8Array[]} parts */
function joined(parts) {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
