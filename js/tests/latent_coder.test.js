/** Quantising is done in float32, where it differs from float64 for latents between two symbols. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { Bundle } from "../bundle/bundle.js";
import { roundHalfEven, toLevels, toReals } from "../engine/levels.js";
import { LatentCoder } from "../latent_coder.js";

const bundle = await Bundle.load(fileURLToPath(new URL("../../fmae_edge/bundles/default", import.meta.url)));
const coder = new LatentCoder(bundle, () => assert.fail("no graph is needed"));

test("a latent is float32(symbol) x float32(step x unit)", () => {
  // float(numpy.float32(36) * numpy.float32(64 * 0.0125)), and so on
  const expected = [
    [1, 36, 28.80000114440918],
    [2, 22, 13.200000762939453],
    [7, 29, 3.9875001907348633],
  ];
  for (const [quality, symbol, value] of expected) {
    assert.equal(coder.values([symbol], quality)[0], value);
  }
});

test("a symbol is latent / float32(step x unit) in float32, halves to even", () => {
  // Of n = 0, 4, 7, 8 and so on, numpy.float32(n + 0.5) * numpy.float32(27 * 0.0125)
  const latents = [
    0.16875000298023224, 1.5187500715255737, 2.53125, 2.8687500953674316, 3.206249952316284, 5.90625,
  ];
  assert.deepEqual([...coder.quantise(Float32Array.from(latents), 4)], [0, 4, 8, 8, 10, 18]);
  assert.deepEqual([...coder.quantise(Float32Array.of(3e38, -3e38, 1e-40), 4)], [32767, -32767, 0]);
});

test("rounding of halves to even, in both directions", () => {
  const values = [0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.49999999999999994, 126.5, 2.4999];
  assert.deepEqual(
    values.map((value) => roundHalfEven(value) + 0),
    [0, 2, 2, 0, -2, -2, 0, 126, 2],
  );
});

test("levels come back from pixels, and pixels outside 0 to 1 are clipped", () => {
  const levels = Uint8Array.from({ length: 256 }, (_, level) => level);
  assert.deepEqual(toLevels(toReals(levels)), levels);
  assert.deepEqual([...toLevels(Float32Array.of(-3, 1.5, -0, 3e38, 1e-40))], [0, 255, 0, 255, 0]);
});
