/**
 * What holds for the golden files, in Node and in every browser: they are read, and written again byte for byte
 * where symbols decide the bytes; damaged ones are refused.
 */

import { readTensors } from "../bundle/safetensors.js";
import { addImage, endStream } from "../entropy/image_stream.js";
import { Prior } from "../entropy/prior.js";
import { decodeSymbols, encodeSymbols } from "../entropy/symbol_coder.js";
import { FmaeError } from "../errors.js";
import { describeFmae, parseFmae, writeFmae } from "../format/fmae_file.js";
import { decodeLossless } from "../format/lossless.js";
import { packPacket, parsePacket } from "../format/packet.js";
import { assertSame, fromHex, refusal, text, toHex } from "./golden.js";

/** @typedef {import("./golden.js").Golden} Golden */
/** @typedef {import("./golden.js").Read} Read */

/** @type {Record<string, (golden: Golden, read: Read) => void | Promise<void>>} */
export const CHECKS = {
  "files have the golden symbols, and come back from them": (golden) => {
    for (const expected of golden.files) {
      const prior = golden.priors[expected.prior];
      const file = parseFmae(fromHex(expected.content), golden.bundleId);
      assertSame(
        [file.quality, file.single, file.names],
        [expected.quality, expected.single, expected.names],
        expected.content,
      );
      const symbols = Array.from(file.payloads, (payload) => decodeSymbols(prior, payload, file.quality));
      assertSame(symbols, expected.symbols, expected.content);
      const payloads = symbols.map((row) => encodeSymbols(prior, row, file.quality));
      const written = writeFmae({ ...expected, payloads, bundleId: golden.bundleId });
      assertSame(toHex(written), expected.content);
    }
  },

  "files of version 3 have the golden pixels and symbols, and come back": (golden) => {
    for (const expected of golden.lossless) {
      const file = parseFmae(fromHex(expected.content), golden.bundleId);
      assertSame([file.version, file.quality, file.single], [3, 0, expected.single]);
      assertSame(file.names, expected.names);
      const [height, width, channels = 1] = expected.shape;
      for (const [index, image] of expected.images.entries()) {
        const { quality, payload } = file.image(index);
        assertSame(quality, image.quality);
        if (quality) {
          const symbols = decodeSymbols(golden.priors.network, payload, quality);
          assertSame(symbols, image.symbols);
          assertSame(encodeSymbols(golden.priors.network, symbols, quality), payload);
        } else {
          assertSame(decodeLossless(payload, { width, height, channels }), image.pixels.flat(2));
        }
      }
      const { payloads } = file;
      const written = writeFmae({ ...expected, payloads, quality: 0, bundleId: golden.bundleId });
      assertSame(toHex(written), expected.content);
    }
  },

  "bare payloads have the golden symbols, and come back": (golden) => {
    for (const { prior, quality, payload, symbols } of golden.payloads) {
      assertSame(decodeSymbols(golden.priors[prior], fromHex(payload), quality), symbols);
      assertSame(toHex(encodeSymbols(golden.priors[prior], Int32Array.from(symbols), quality)), payload);
    }
  },

  "packets have the golden images, and come back": (golden) => {
    for (const expected of golden.packets) {
      const prior = golden.priors[expected.prior];
      const content = fromHex(expected.packet);
      const { first, images, endsSet } = parsePacket(content, golden.bundleId, prior);
      assertSame([first, endsSet], [expected.first, expected.ends_set]);
      assertSame(
        images.map((image) => image.quality),
        expected.qualities,
      );
      assertSame(
        images.map((image) => image.symbols),
        expected.symbols,
      );
      const quality = content[1] & 15;
      let message = null;
      for (const image of images) {
        message = addImage(message, prior, image, quality === 0);
      }
      if (message !== null) {
        const written = packPacket({ first, quality, message: endStream(message, endsSet) }, golden.bundleId);
        assertSame(toHex(written), expected.packet);
      }
      const padded = new Uint8Array(200);
      padded.set(content);
      assertSame(parsePacket(padded, golden.bundleId, prior).images, images);
    }
  },

  "the golden vectors of the built-in bundles have their symbols": async (_, read) => {
    for (const name of ["default", "detail"]) {
      const folder = `fmae_edge/bundles/${name}`;
      const manifest = JSON.parse(await text(read, `${folder}/manifest.json`));
      const tensors = readTensors(await read(`${folder}/golden.safetensors`), name, { floats: true });
      const [content, expected] = ["file", "symbols"].map((tensor) => tensors.get(tensor));
      const latents = manifest.latent.size;
      const prior = Prior.parse(await read(`${folder}/prior.safetensors`), latents, manifest.qualities.steps);
      const file = parseFmae(/** @type {Uint8Array} */ (content?.data), manifest.bundle_id);
      const symbols = Array.from(file.payloads, (payload) => [...decodeSymbols(prior, payload, file.quality)]);
      assertSame(symbols.flat(), expected?.data, name);
    }
  },

  "every damaged golden file is refused": (golden) => {
    for (const { content } of [...golden.files, ...golden.lossless]) {
      const whole = fromHex(content);
      for (const damaged of damagedVersions(whole)) {
        const sentence = refusal(() => parseFmae(damaged, golden.bundleId), FmaeError);
        if (sentence === null) {
          throw new Error(`accepted ${toHex(damaged)}, which is ${content} damaged`);
        }
        refusal(() => describeFmae(damaged), FmaeError);
      }
    }
  },

  "every damaged golden packet is refused": (golden) => {
    for (const { packet, prior } of golden.packets) {
      for (const damaged of damagedVersions(fromHex(packet))) {
        if (refusal(() => parsePacket(damaged, golden.bundleId, golden.priors[prior]), FmaeError) === null) {
          throw new Error(`accepted ${toHex(damaged)}, which is ${packet} damaged`);
        }
      }
    }
  },

  "every damaged golden lossless payload is refused, or is another image": (golden) => {
    for (const { content, single, shape } of golden.lossless) {
      const [height, width, channels = 1] = shape;
      const payload = single ? fromHex(content).subarray(7) : new Uint8Array(0);
      for (const damaged of damagedVersions(payload)) {
        refusal(() => decodeLossless(damaged, { width, height, channels }), FmaeError);
      }
    }
  },
};

/**
 * Yield every truncation of bytes, and a change of one bit of each byte.
 *
 * @param {Uint8Array} whole
 */
function* damagedVersions(whole) {
  for (let length = 0; length < whole.length; length++) {
    yield whole.slice(0, length);
    const changed = whole.slice();
    changed[length] ^= 1 << (length % 8);
    yield changed;
  }
}
