/** The range coder: intervals come back, and any bytes are read as the specification's integers say. */

import assert from "node:assert/strict";
import test from "node:test";

import { RangeDecoder, RangeEncoder } from "../entropy/range_coder.js";
import { Random } from "./random.js";

/** @typedef {[number, number]} Interval */

/**
 * Return intervals that make carries likely: of one number, of nearly all, and at both ends.
 *
 * @param {Random} random
 * @param {number} count
 * @returns {Interval[]}
 */
function someIntervals(random, count) {
  return Array.from({ length: count }, () => {
    const kind = random.below(5);
    if (kind === 0) {
      return [65535, 65536];
    }
    if (kind === 1) {
      return [0, 65535];
    }
    const start = random.below(65536);
    return kind === 2 ? [start, start + 1] : [start, start + 1 + random.below(65536 - start)];
  });
}

test("intervals come back, and one message has several continuations", () => {
  const random = new Random(1);
  for (let run = 0; run < 500; run++) {
    const [shared, ...ends] = [20, 5, 30].map((count) => someIntervals(random, random.below(count)));
    const start = new RangeEncoder();
    shared.forEach((interval) => start.add(...interval));
    for (const end of ends) {
      const encoder = start.copy();
      end.forEach((interval) => encoder.add(...interval));
      const message = encoder.message();
      const decoder = new RangeDecoder(message);
      for (const [first, last] of [...shared, ...end]) {
        const position = decoder.position();
        assert.ok(first <= position && position < last);
        decoder.goPast(first, last);
      }
      assert.ok(message.length <= decoder.mostBytes);
    }
  }
});

test("a carry passes any number of full bytes, up to the first byte of the message", () => {
  for (let count = 1; count < 40; count++) {
    const intervals = Array.from({ length: count }, () => /** @type {Interval} */ ([65535, 65536]));
    const encoder = new RangeEncoder();
    encoder.add(1, 3);
    intervals.forEach((interval) => encoder.add(...interval));
    const reference = referenceMessage([[1, 3], ...intervals]);
    assert.deepEqual([...encoder.message()], reference);
  }
});

test("messages are those of the specification's integers", () => {
  const random = new Random(2);
  for (let run = 0; run < 300; run++) {
    const intervals = someIntervals(random, random.below(40));
    const encoder = new RangeEncoder();
    intervals.forEach((interval) => encoder.add(...interval));
    assert.deepEqual([...encoder.message()], referenceMessage(intervals));
  }
});

test("any bytes are read as by the specification's integers", () => {
  const random = new Random(3);
  for (let run = 0; run < 1000; run++) {
    const message = random.bytes(random.below(40));
    message.fill(255, 0, run % 3 ? 0 : 3 + random.below(10)); // a point at the end of every interval
    const decoder = new RangeDecoder(message);
    const reference = new ReferenceDecoder(message);
    for (let step = 0; step < 40; step++) {
      const position = decoder.position();
      assert.equal(position, reference.position());
      const [start, end] = random.below(3)
        ? [position, position + 1]
        : [random.below(position + 1), position + 1 + random.below(65536 - position)];
      decoder.goPast(start, end);
      reference.goPast(start, end);
    }
  }
});

/**
 * The writer in spec/format.md, in integers of any size.
 *
 * @param {Interval[]} intervals
 */
function referenceMessage(intervals) {
  let [low, width, shifted] = [0n, 1n << 40n, 0];
  for (const [start, end] of intervals) {
    const unit = width >> 16n;
    low += unit * BigInt(start);
    width = unit * BigInt(end - start);
    while (width < 1n << 32n) {
      width <<= 8n;
      low <<= 8n;
      shifted++;
    }
  }
  let point = ((low + (1n << 40n) - 1n) >> 40n) << 40n;
  if (point >= low + width) {
    point = ((low + (1n << 32n) - 1n) >> 32n) << 32n;
  }
  const digits = (point >> 32n).toString(16).padStart(2 * (shifted + 1), "0");
  const bytes = [...Buffer.from(digits, "hex")];
  assert.equal(bytes.length, shifted + 1);
  while (bytes.at(-1) === 0) {
    bytes.pop();
  }
  return bytes;
}

/** The reader in spec/format.md, in integers of any size. */
class ReferenceDecoder {
  /** @param {Uint8Array} message */
  constructor(message) {
    this.message = message;
    this.next = 5;
    this.width = 1n << 40n;
    this.above = [0, 1, 2, 3, 4].reduce((above, at) => (above << 8n) | BigInt(message[at] ?? 0), 0n);
  }

  position() {
    const position = this.above / (this.width >> 16n);
    return Number(position > 65535n ? 65535n : position);
  }

  /**
   * @param {number} start
   * @param {number} end
   */
  goPast(start, end) {
    const unit = this.width >> 16n;
    this.width = unit * BigInt(end - start);
    const above = this.above - unit * BigInt(start);
    this.above = above < this.width ? above : this.width - 1n;
    while (this.width < 1n << 32n) {
      this.width <<= 8n;
      this.above = (this.above << 8n) | BigInt(this.message[this.next++] ?? 0);
    }
  }
}
