/** The golden files of all versions are read, and written again byte for byte where symbols decide the bytes. */

import assert from "node:assert/strict";
import test from "node:test";

import { decodeSymbols, encodeSymbols } from "../entropy/symbol_coder.js";
import { parseFmae, writeFmae } from "../format/fmae_file.js";
import { decodeLossless } from "../format/lossless.js";
import { BUNDLE, FILES, fromHex, goldenFiles, goldenPrior, toHex } from "./golden.js";

test("files of symbols have the golden symbols, and come back from them", () => {
  for (const golden of FILES) {
    const prior = goldenPrior(golden.prior);
    const file = parseFmae(fromHex(golden.content), BUNDLE);
    assert.deepEqual([file.quality, file.single, file.names], [golden.quality, golden.single, golden.names]);
    const symbols = [...file.payloads].map((payload) => decodeSymbols(prior, payload, file.quality));
    assert.deepEqual(
      symbols.map((row) => [...row]),
      golden.symbols,
    );
    const payloads = symbols.map((row) => encodeSymbols(prior, row, file.quality));
    const written = writeFmae({ ...golden, payloads, bundleId: BUNDLE });
    assert.equal(toHex(written), golden.content);
  }
});

test("files of version 3 have the golden pixels and symbols, and come back", () => {
  const prior = goldenPrior("network");
  for (const golden of goldenFiles("format-3").files) {
    const file = parseFmae(fromHex(golden.content), BUNDLE);
    assert.deepEqual([file.version, file.quality, file.single], [3, 0, golden.single]);
    assert.deepEqual(file.names, golden.names);
    const [height, width, channels = 1] = golden.shape;
    for (const [index, image] of golden.images.entries()) {
      const { quality, payload } = file.image(index);
      assert.equal(quality, image.quality);
      if (quality) {
        const symbols = decodeSymbols(prior, payload, quality);
        assert.deepEqual([...symbols], image.symbols);
        assert.deepEqual(encodeSymbols(prior, symbols, quality), payload);
      } else {
        assert.deepEqual([...decodeLossless(payload, { width, height, channels })], image.pixels.flat(2));
      }
    }
    const written = writeFmae({ ...golden, payloads: file.payloads, quality: 0, bundleId: BUNDLE });
    assert.equal(toHex(written), golden.content);
  }
});
