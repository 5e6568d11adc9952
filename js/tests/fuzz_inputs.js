/** Make changed golden files of each kind, and read them in every way that an application does. */

import { Prior } from "../entropy/prior.js";
import { decodeSymbols, encodeSymbols } from "../entropy/symbol_coder.js";
import { FmaeError } from "../errors.js";
import { idBytes } from "../format/bundle_id.js";
import { describeFmae, isFmae, parseFmae, writeFmae } from "../format/fmae_file.js";
import { decodeLossless } from "../format/lossless.js";
import { parsePacket } from "../format/packet.js";
import { PacketSet } from "../format/packet_set.js";
import { packetWithRightCheck, withRightChecks } from "./check_codes.js";
import { assertSame, fromHex } from "./golden.js";
import { mutate } from "./mutations.js";
import { Random } from "./random.js";

/** @typedef {import("./golden.js").Golden} Golden */
/** @typedef {{ kind: string, content: Uint8Array }} Input */

const MAX_SYMBOL = 32767;
const MAX_IMAGES = 16; // decoded per input; a stack of empty payloads may have a million
const SIZES = [
  { width: 9, height: 6, channels: 1 },
  { width: 5, height: 7, channels: 3 },
];

/** Makes inputs, always the same one for a number, and reads them. */
export class Fuzzer {
  /**
   * @param {Golden} golden
   * @param {Uint8Array[]} priors files with the priors of `golden`
   */
  constructor(golden, priors) {
    this.golden = golden;
    const files = [...golden.files, ...golden.lossless].map(({ content }) => fromHex(content));
    const lossless = golden.lossless.filter(({ single }) => single);
    /** @type {Record<string, { seeds: Uint8Array[], read: (content: Uint8Array) => void }>} */
    this.kinds = {
      fmae: { seeds: files, read: (content) => this.readFmae(content) },
      "right-fmae": { seeds: files, read: (content) => this.readFmae(content) },
      packet: {
        seeds: golden.packets.map(({ packet }) => fromHex(packet)),
        read: (content) => this.readPacket(content),
      },
      bare: {
        seeds: golden.payloads.map(({ payload }) => fromHex(payload)),
        read: (content) => this.readPayload(content),
      },
      lossless: { seeds: lossless.map(({ content }) => fromHex(content).subarray(7)), read: readLossless },
      prior: { seeds: priors, read: (content) => this.readPrior(content) },
    };
  }

  /**
   * Return the input with number `run`.
   *
   * @param {number} run
   * @returns {Input}
   */
  input(run) {
    const random = new Random(run);
    const kind = random.of(Object.keys(this.kinds));
    const { seeds } = this.kinds[kind];
    const content = mutate(random, random.of(seeds), random.of(seeds));
    if (kind === "right-fmae" && content.length >= 13) {
      content.set(idBytes(this.golden.bundleId).subarray(0, content[2] & 0x80 ? 4 : 2), 3);
      return { kind, content: withRightChecks(content, this.golden.bundleId) };
    }
    if (kind === "packet" && content.length >= 4) {
      return { kind, content: packetWithRightCheck(content, this.golden.bundleId) };
    }
    return { kind, content };
  }

  /**
   * Read an input, and return whether it was accepted.
   *
   * @param {Input} input
   * @throws {Error} if a reader throws anything but an FmaeError, or its results contradict each other
   */
  accepts({ kind, content }) {
    try {
      this.kinds[kind].read(content);
      return true;
    } catch (error) {
      if (error instanceof FmaeError && error.message.length > 0 && error.message.length < 1000) {
        return false;
      }
      throw error;
    }
  }

  /** @param {Uint8Array} content */
  readFmae(content) {
    const { bundleId, priors } = this.golden;
    const info = describeFmae(content);
    const file = parseFmae(content, bundleId);
    assertSame({ ...file.describe(), bundleId: info.bundleId }, info);
    if (!isFmae(content) || !bundleId.startsWith(info.bundleId)) {
      throw new Error("accepted without its magic or of another bundle");
    }
    for (let index = 0; index < Math.min(file.payloads.length, MAX_IMAGES); index++) {
      const { quality, payload } = file.image(index);
      if (quality === 0) {
        readLossless(payload);
      } else {
        Object.values(priors).forEach((prior) => readSymbols(prior, payload, quality));
      }
    }
    const { payloads, quality, single } = file;
    const written = writeFmae({ payloads, quality, single, bundleId, names: file.names });
    assertSame(parseFmae(written, bundleId).names, file.names);
  }

  /** @param {Uint8Array} content */
  readPacket(content) {
    for (const prior of Object.values(this.golden.priors)) {
      const packet = parsePacket(content, this.golden.bundleId, prior);
      const set = new PacketSet();
      assertSame(set.add(packet).length, packet.images.length);
      assertSame(set.add(packet), []);
    }
  }

  /** @param {Uint8Array} content */
  readPayload(content) {
    const quality = 1 + (content.length % 9);
    Object.values(this.golden.priors).forEach((prior) => readSymbols(prior, content, quality));
  }

  /** @param {Uint8Array} content */
  readPrior(content) {
    const prior = Prior.parse(content, this.golden.latents, this.golden.steps);
    readSymbols(prior, content.subarray(content.length - 30), 1 + (content.length % 9));
  }
}

/**
 * Decode a payload. Its symbols come back from the payload that a writer makes of them.
 *
 * @param {Prior} prior
 * @param {Uint8Array} payload
 * @param {number} quality
 */
function readSymbols(prior, payload, quality) {
  const symbols = decodeSymbols(prior, payload, quality);
  if (symbols.every((symbol) => Math.abs(symbol) <= MAX_SYMBOL)) {
    assertSame(decodeSymbols(prior, encodeSymbols(prior, symbols, quality), quality), symbols);
  }
}

/**
 * Decode a lossless image of one of the golden sizes.
 *
 * @param {Uint8Array} payload
 */
function readLossless(payload) {
  try {
    assertSame(decodeLossless(payload, SIZES[0]).length, 54);
  } catch (error) {
    if (!(error instanceof FmaeError)) {
      throw error;
    }
    assertSame(decodeLossless(payload, SIZES[1]).length, 105);
  }
}
