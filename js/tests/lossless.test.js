/** Lossless images come back exactly; what zlib refuses is refused, and nothing takes more memory than the image. */

import assert from "node:assert/strict";
import test from "node:test";
import { deflateRawSync, inflateRawSync } from "node:zlib";

import { inflate } from "../format/inflate.js";
import { decodeLossless, encodeLossless } from "../format/lossless.js";
import { residualsOf } from "../format/prediction.js";
import { fromHex } from "./golden.js";
import { mutate } from "./mutations.js";
import { Random } from "./random.js";
import { GOLDEN } from "./repository.js";

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

test("LZMA streams with a byte more, a byte less or another first byte are refused", () => {
  const { content, shape } = GOLDEN.lossless.find((file) => (fromHex(file.content)[7] & 24) === 16);
  const payload = fromHex(content).subarray(7);
  const [height, width, channels = 1] = shape;
  const size = { width, height, channels };
  decodeLossless(payload, size);
  for (const other of [[...payload, 0], [...payload.subarray(0, -1)], [payload[0], 1, ...payload.subarray(2)]]) {
    assert.throws(() => decodeLossless(Uint8Array.from(other), size), { name: "InputError" });
  }
  for (const bigger of [
    { ...size, height: height + 1 },
    { ...size, height: height - 1 },
  ]) {
    assert.throws(() => decodeLossless(payload, bigger), { name: "InputError" });
  }
});

test("the same deflate streams are refused as by zlib", () => {
  const random = new Random(4);
  const originals = SIZES.flatMap(pictures).slice(0, 12);
  const streams = originals.flatMap((pixels) => [
    ...[0, 1, 9].map((level) => deflateRawSync(pixels, { level })),
    ...[2, 3, 4].map((strategy) => deflateRawSync(pixels, { strategy })),
  ]);
  let accepted = 0;
  for (let run = 0; run < 6000; run++) {
    const stream =
      run < streams.length ? streams[run] : mutate(random, random.of(streams).subarray(0, 300), streams[0]);
    /** @type {Uint8Array | null} */
    let expected = null;
    try {
      const { buffer, engine } = /** @type {any} */ (
        inflateRawSync(stream, { info: true, maxOutputLength: 1 << 20 })
      );
      expected = engine.bytesWritten === stream.length ? buffer : null;
    } catch {
      expected = null;
    }
    const found = inflate(stream, expected?.length ?? 784);
    assert.deepEqual(
      found && Buffer.from(found),
      expected && Buffer.from(expected),
      Buffer.from(stream).toString("hex"),
    );
    accepted += expected === null ? 0 : 1;
  }
  assert.ok(accepted > streams.length + 50);
});

test("a stream that expands without end stops at the image", () => {
  const bomb = deflateRawSync(new Uint8Array(1 << 24));
  const started = performance.now();
  assert.throws(() => decodeLossless(Uint8Array.of(8, ...bomb), SIZES[0]), { message: /784 bytes of pixels$/ });
  assert.ok(performance.now() - started < 200);
});
