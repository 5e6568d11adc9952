/** LZMA streams: the golden ones, and streams that break a rule. */

import assert from "node:assert/strict";
import test from "node:test";

import { unpackLzma } from "../format/lzma.js";
import { fromHex } from "./golden.js";
import { GOLDEN } from "./repository.js";

/** Writes a stream: LZMA's range encoder, with integers of any size. */
class Writer {
  constructor() {
    this.low = 0n;
    this.range = 0xffffffffn;
    this.bytes = 0;
    /** @type {Map<string, bigint>} */
    this.probabilities = new Map();
  }

  /**
   * @param {string} name of the probability
   * @param {number} bit
   */
  bit(name, bit) {
    const probability = this.probabilities.get(name) ?? 1024n;
    const bound = (this.range >> 11n) * probability;
    if (bit) {
      this.low += bound;
      this.range -= bound;
      this.probabilities.set(name, probability - (probability >> 5n));
    } else {
      this.range = bound;
      this.probabilities.set(name, probability + ((2048n - probability) >> 5n));
    }
    this.shift();
  }

  /** @param {number} bit */
  direct(bit) {
    this.range >>= 1n;
    this.low += bit ? this.range : 0n;
    this.shift();
  }

  shift() {
    if (this.range < 1n << 24n) {
      this.range <<= 8n;
      this.low <<= 8n;
      this.bytes++;
    }
  }

  /**
   * @param {string} name
   * @param {number} value
   * @param {number} count of bits, the highest first
   */
  tree(name, value, count) {
    for (let node = 1, place = count - 1; place >= 0; place--) {
      const bit = (value >> place) & 1;
      this.bit(`${name} ${node}`, bit);
      node = 2 * node + bit;
    }
  }

  /**
   * @param {number} state
   * @param {number} byte
   */
  literal(state, byte) {
    this.bit(`match ${state}`, 0);
    this.tree("literal", byte, 8);
  }

  /**
   * Add a match of two bytes at a distance of 1 to 4.
   *
   * @param {number} state
   * @param {number} distance
   */
  match(state, distance) {
    this.bit(`match ${state}`, 1);
    this.bit(`repeat ${state}`, 0);
    this.tree("length choice", 0, 1);
    this.tree("length", 0, 3);
    this.tree("slot", distance - 1, 6);
  }

  /** @param {number} state */
  repeat(state) {
    this.bit(`match ${state}`, 1);
    this.bit(`repeat ${state}`, 1);
    this.bit(`older ${state}`, 0);
    this.bit(`long ${state}`, 0);
  }

  /** @param {number} state */
  end(state) {
    this.match(state, 64);
    Array.from({ length: 26 }, () => this.direct(1));
    Array.from({ length: 4 }, (_, bit) => this.bit(`align ${2 ** (bit + 1) - 1}`, 1));
  }

  stream() {
    return fromHex(this.low.toString(16).padStart(2 * (this.bytes + 5), "0"));
  }
}

/**
 * @param {(writer: Writer) => void} write
 * @param {number} length
 */
function unpacked(write, length) {
  const writer = new Writer();
  write(writer);
  return unpackLzma(writer.stream(), length);
}

test("a match reaches back to the first byte, and no further", () => {
  for (const [distance, expected] of /** @type {[number, number[] | null][]} */ ([
    [1, [7, 9, 9, 9]],
    [2, [7, 9, 7, 9]],
    [3, null],
  ])) {
    const found = unpacked((writer) => {
      writer.literal(0, 7);
      writer.literal(0, 9);
      writer.match(0, distance);
      writer.end(7);
    }, 4);
    assert.deepEqual(found, expected && Uint8Array.from(expected));
  }
});

test("the last distance is not repeated before the first byte", () => {
  const repeated = (/** @type {Writer} */ writer) => {
    writer.repeat(0);
    writer.end(9);
  };
  assert.equal(unpacked(repeated, 1), null);
  const after = (/** @type {Writer} */ writer) => {
    writer.literal(0, 5);
    writer.repeat(0);
    writer.end(9);
  };
  assert.deepEqual(unpacked(after, 2), Uint8Array.of(5, 5));
  for (const length of [0, 1, 3]) {
    assert.equal(unpacked(after, length), null);
  }
});

test("golden streams with other bytes at their ends are refused", () => {
  const { content, shape } = GOLDEN.lossless.find((file) => (fromHex(file.content)[7] & 24) === 16);
  const stream = fromHex(content).subarray(8);
  const length = shape.reduce((/** @type {number} */ product, /** @type {number} */ side) => product * side, 1);
  assert.equal(unpackLzma(stream, length)?.length, length);
  const last = stream.length - 1;
  const others = [
    [...stream, 0],
    [...stream.subarray(0, last)],
    [1, ...stream.subarray(1)],
    [...stream.subarray(0, last), stream[last] ^ 1],
  ];
  for (const other of others) {
    assert.equal(unpackLzma(Uint8Array.from(other), length), null);
  }
  assert.equal(unpackLzma(stream, length + 1), null);
  assert.equal(unpackLzma(stream, length - 1), null);
});
