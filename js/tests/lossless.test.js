/** Lossless images come back exactly; damaged ones are refused, and nothing takes more memory than the image. */

import assert from "node:assert/strict";
import test from "node:test";
import { deflateRawSync } from "node:zlib";

import { decodeLossless, encodeLossless } from "../format/lossless.js";
import { residualsOf } from "../format/prediction.js";
import { Random } from "./random.js";

/** Sizes, whose images are flat, a ramp, a chequerboard and noise. */
const SIZES = [
  [28, 28, 1],
  [1, 300, 1],
  [300, 1, 1],
  [1, 1, 1],
  [20, 26, 3],
  [7, 5, 2],
  [96, 64, 4],
].map(([width, height, channels]) => ({ width, height, channels }));

/** @param {{ width: number, height: number, channels: number }} size */
function pictures({ width, height, channels }) {
  const random = new Random(width);
  const numbers = width * height * channels;
  const sums = Array.from(
    { length: numbers },
    (_, index) => (index % (width * channels)) + Math.floor(index / (width * channels)),
  );
  return [
    sums.map(() => 201),
    sums.map((sum) => 3 * sum),
    sums.map((sum) => 255 * (sum % 2)),
    sums.map(() => random.below(256)),
  ].map((levels) => Uint8Array.from(levels));
}

test("images come back exactly, in at most one byte more than their pixels", async () => {
  for (const size of SIZES) {
    for (const pixels of pictures(size)) {
      const payload = await encodeLossless(pixels, size);
      assert.ok(payload.length <= pixels.length + 1);
      assert.deepEqual(decodeLossless(payload, size), pixels);
    }
    const [flat] = await Promise.all(pictures(size).map((pixels) => encodeLossless(pixels, size)));
    assert.ok(flat.length < 30 + (size.width * size.height) / 200);
  }
});

test("every prediction is undone, with and without green", () => {
  for (const size of SIZES) {
    const { width, height, channels } = size;
    const plane = width * height;
    for (const pixels of pictures(size)) {
      for (const kind of channels === 3 ? [0, 1, 2, 3, 4, 5, 6, 7] : [0, 1, 2, 3]) {
        const planes = pixels.map((_, index) => {
          const [channel, at] = [Math.floor(index / plane), index % plane];
          const green = kind & 4 && channel !== 1 ? pixels[at * channels + 1] : 0;
          return pixels[at * channels + channel] - green;
        });
        const residuals = residualsOf(planes, kind & 3, width, height);
        assert.deepEqual(decodeLossless(Uint8Array.of(kind, ...residuals), size), pixels);
        assert.deepEqual(decodeLossless(Uint8Array.of(kind | 8, ...deflateRawSync(residuals)), size), pixels);
      }
    }
  }
});

test("payloads of no image are refused", () => {
  const size = SIZES[0];
  const pixels = pictures(size)[1];
  const way = /stored in a way that the format does not define$/;
  const count = /does not have its 784 bytes of pixels$/;
  const deflated = [...deflateRawSync(pixels)];
  /** @type {[number[], RegExp][]} */
  const cases = [
    [[], way],
    ...[24, 32, 64, 128, 255, 4].map((kind) => /** @type {[number[], RegExp]} */ ([[kind, ...pixels], way])),
    [[0], count],
    [[0, ...pixels.subarray(1)], count],
    [[0, ...pixels, 1], count],
    [[8], count],
    [[8, ...deflated.slice(0, -1)], count],
    [[8, ...deflated, 1], count],
    [[8, ...deflated.slice(1)], count],
    [[8, ...deflateRawSync(Uint8Array.of(...pixels, 1))], count],
    [[8, ...deflateRawSync(pixels.subarray(1))], count],
    [[16], count],
    [[16, ...pixels], count],
    [[16, 0, 255, 255, 255, 255, 0], count],
  ];
  for (const [payload, sentence] of cases) {
    assert.throws(() => decodeLossless(Uint8Array.from(payload), size), { name: "InputError", message: sentence });
  }
});

test("a stream that expands without end stops at the image", () => {
  const bomb = deflateRawSync(new Uint8Array(1 << 24));
  const started = performance.now();
  assert.throws(() => decodeLossless(Uint8Array.of(8, ...bomb), SIZES[0]), { message: /784 bytes of pixels$/ });
  assert.ok(performance.now() - started < 200);
});
