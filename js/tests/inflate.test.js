/** Deflate streams: zlib, as Node has it, accepts and refuses the same ones. */

import assert from "node:assert/strict";
import test from "node:test";
import { deflateRawSync, inflateRawSync } from "node:zlib";

import { inflate } from "../format/inflate.js";
import { mutate } from "./mutations.js";
import { Random } from "./random.js";

const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/**
 * Return the content of a stream that nothing follows, null if zlib refuses it.
 *
 * @param {Uint8Array} stream
 */
function fromZlib(stream) {
  try {
    const options = /** @type {any} */ ({ info: true, maxOutputLength: 1 << 20 });
    const { buffer, engine } = /** @type {any} */ (inflateRawSync(stream, options));
    return engine.bytesWritten === stream.length ? new Uint8Array(buffer) : null;
  } catch {
    return null;
  }
}

/** @param {Uint8Array} stream */
function assertAsZlib(stream) {
  const expected = fromZlib(stream);
  const found = inflate(stream, expected?.length ?? 784);
  assert.deepEqual(found, expected, Buffer.from(stream).toString("hex"));
  return expected !== null;
}

test("streams of every kind come back, and damaged ones are refused as by zlib", () => {
  const random = new Random(4);
  const contents = [0, 1, 300, 784, 5000].flatMap((length) => [
    new Uint8Array(length),
    random.bytes(length),
    Uint8Array.from({ length }, (_, index) => (index * index) >> 5),
    Uint8Array.from({ length }, () => random.below(3) * random.below(20)),
  ]);
  const streams = contents.flatMap((content) => [
    ...[0, 1, 9].map((level) => deflateRawSync(content, { level })),
    ...[2, 3, 4].map((strategy) => deflateRawSync(content, { strategy })),
  ]);
  streams.forEach((stream) => assert.ok(assertAsZlib(stream)));
  const short = streams.filter((stream) => stream.length < 400);
  let accepted = 0;
  for (let run = 0; run < 4000; run++) {
    accepted += assertAsZlib(mutate(random, random.of(short), random.of(short))) ? 1 : 0;
  }
  assert.ok(accepted > 50);
});

/**
 * Return a stream of one block with its own codes.
 *
 * @param {Record<number, number>} literals the code length of each literal or length that has a code
 * @param {Record<number, number>} distances
 * @param {{ literalCount?: number, distanceCount?: number, lastOfOrder?: number }} [header]
 * @param {string} [data] bits of the content, in the order in which they are read
 */
function block(literals, distances, { literalCount = 257, distanceCount = 1, lastOfOrder = 5 } = {}, data = "") {
  /** @param {number} value @param {number} count */
  const low = (value, count) => Array.from({ length: count }, (_, bit) => (value >> bit) & 1).join("");
  // 13 code lengths have codes of 4 bits and 6 have codes of 5 bits, the first of them in numerical order
  const lengths = Array.from({ length: 19 }, (_, symbol) => (symbol < 13 ? 4 : symbol === 18 ? lastOfOrder : 5));
  const code = (/** @type {number} */ symbol) =>
    symbol < 13 ? symbol.toString(2).padStart(4, "0") : (13 + symbol).toString(2).padStart(5, "0");
  const all = [
    ...Array.from({ length: literalCount }, (_, symbol) => literals[symbol] ?? 0),
    ...Array.from({ length: distanceCount }, (_, symbol) => distances[symbol] ?? 0),
  ];
  const bits =
    "1" +
    low(2, 2) +
    low(literalCount - 257, 5) +
    low(distanceCount - 1, 5) +
    low(15, 4) +
    ORDER.map((symbol) => low(lengths[symbol], 3)).join("") +
    all.map(code).join("") +
    data;
  const bytes = bits.match(/.{1,8}/g) ?? [];
  return Uint8Array.from(bytes, (byte) => parseInt([...byte.padEnd(8, "0")].reverse().join(""), 2));
}

test("sets of codes that are incomplete or too large are refused as by zlib", () => {
  const A = 65;
  /** @type {[string, Uint8Array, number[] | null][]} */
  const cases = [
    ["two literals", block({ [A]: 1, 256: 1 }, {}, {}, "001"), [A, A]],
    ["only the end", block({ 256: 1 }, {}, {}, "0"), []],
    ["the code that a single one leaves", block({ 256: 1 }, {}, {}, "1"), null],
    ["incomplete literals", block({ [A]: 2, 256: 2 }, {}, {}, "0001"), null],
    ["a single literal of two bits", block({ 256: 2 }, {}, {}, "00"), null],
    ["too many literals", block({ [A]: 1, 66: 1, 256: 1 }, {}, {}, "01"), null],
    ["no end", block({ [A]: 1, 66: 1 }, {}, {}, "01"), null],
    ["a distance", block({ [A]: 1, 256: 2, 257: 2 }, { 0: 1 }, { literalCount: 258 }, "011010"), [A, A, A, A]],
    ["no distance", block({ [A]: 1, 256: 2, 257: 2 }, {}, { literalCount: 258 }, "011010"), null],
    ["two distances", block({ 256: 1 }, { 0: 1, 1: 1 }, { distanceCount: 2 }, "0"), []],
    ["incomplete distances", block({ 256: 1 }, { 0: 2 }, {}, "0"), null],
    ["too many distances", block({ 256: 1 }, { 0: 1, 1: 1, 2: 1 }, { distanceCount: 3 }, "0"), null],
    ["286 codes", block({ 256: 1 }, {}, { literalCount: 286 }, "0"), []],
    ["287 codes", block({ 256: 1 }, {}, { literalCount: 287 }, "0"), null],
    ["30 distances", block({ 256: 1 }, {}, { distanceCount: 30 }, "0"), []],
    ["31 distances", block({ 256: 1 }, {}, { distanceCount: 31 }, "0"), null],
    ["incomplete code lengths", block({ 256: 1 }, {}, { lastOfOrder: 0 }, "0"), null],
    [
      "too far back",
      block({ [A]: 1, 256: 2, 257: 2 }, { 1: 1 }, { literalCount: 258, distanceCount: 2 }, "011010"),
      null,
    ],
  ];
  for (const [what, stream, expected] of cases) {
    assert.deepEqual(fromZlib(stream), expected && Uint8Array.from(expected), `zlib: ${what}`);
    for (let length = 0; length < 6; length++) {
      const found = inflate(stream, length);
      assert.deepEqual(found, expected?.length === length ? Uint8Array.from(expected) : null, what);
    }
  }
});
