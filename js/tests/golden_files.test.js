/** The golden files of all versions are read, and written again byte for byte where symbols decide the bytes. */

import assert from "node:assert/strict";
import test from "node:test";

import { decodeSymbols, encodeSymbols } from "../entropy/symbol_coder.js";
import { parseFmae, writeFmae } from "../format/fmae_file.js";
import { BUNDLE, FILES, fromHex, goldenPrior, toHex } from "./golden.js";

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
