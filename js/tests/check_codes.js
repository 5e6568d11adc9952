/** Make the check codes of changed files right, so that tests reach what they protect. */

import { InputError } from "../errors.js";
import { idBytes } from "../format/bundle_id.js";
import { crc16, crc32 } from "../format/check_codes.js";
import { HeaderReader, readIndex } from "../format/payload_index.js";

const MOST = 2 ** 26;

/**
 * Return a .fmae file with right check codes. The payloads of a stack begin at `bodyAt`, or where its index says.
 *
 * @param {Uint8Array} content of at least 13 bytes, 7 for a single image
 * @param {string} bundleId
 * @param {number} [bodyAt]
 */
export function withRightChecks(content, bundleId, bodyAt = endOfIndex(content)) {
  const file = content.slice();
  const view = new DataView(file.buffer);
  const id = crc16(idBytes(bundleId));
  if (file[2] & 0x80) {
    view.setUint32(9, crc32(file.subarray(bodyAt)));
    view.setUint16(7, crc16(file.subarray(9, bodyAt), crc16(file.subarray(0, 7), id)));
  } else {
    file[2] = (file[2] & 15) | (((file.length - 7) % 8) << 4);
    view.setUint16(5, crc16(file.subarray(7), crc16(file.subarray(0, 5), id)));
  }
  return file;
}

/**
 * Return a packet with a right check code.
 *
 * @param {Uint8Array} content of at least 4 bytes
 * @param {string} bundleId
 */
export function packetWithRightCheck(content, bundleId) {
  const packet = content.slice();
  let end = packet.length;
  while (end > 4 && packet[end - 1] === 0) {
    end--;
  }
  const check = crc16(packet.subarray(4, end), crc16(packet.subarray(0, 2), crc16(idBytes(bundleId))));
  new DataView(packet.buffer).setUint16(2, check);
  return packet;
}

/** @param {Uint8Array} content */
function endOfIndex(content) {
  const reader = new HeaderReader(content, 13);
  try {
    readIndex(reader, 1 << 20, MOST);
    if (content[2] & 0x10) {
      reader.take(reader.varint());
    }
  } catch (error) {
    if (!(error instanceof InputError)) {
      throw error;
    }
  }
  return reader.at;
}
