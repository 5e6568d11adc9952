/** The .fmae format: every kind of damage has its own sentence, also behind check codes that are right. */

import assert from "node:assert/strict";
import test from "node:test";

import { FmaeError, InputError } from "../errors.js";
import { describeFmae, isFmae, parseFmae, writeFmae } from "../format/fmae_file.js";
import { withRightChecks } from "./check_codes.js";
import { Random } from "./random.js";
import { readText } from "./repository.js";

const BUNDLE = "0123456789abcdef";
const OTHER = "1123456789abcdef";
const ONE = [1, 1, 0, 0x80]; // the index of one image with a payload of one byte

/** @param {string} text */
function bytes(text) {
  return new TextEncoder().encode(text);
}

/** @param {number} quality */
function single(quality) {
  return writeFmae({ payloads: [bytes("some payload")], quality, single: true, bundleId: BUNDLE });
}

/**
 * @param {Uint8Array[]} payloads
 * @param {number} [quality]
 * @param {string[] | null} [names]
 */
function stack(payloads, quality = 5, names = null) {
  return writeFmae({ payloads, quality, single: false, bundleId: BUNDLE, names });
}

/**
 * Return a stack with any header and body, and right check codes.
 *
 * @param {number} kind
 * @param {Iterable<number>} index
 * @param {Uint8Array} body
 * @param {number} [version]
 */
function anyStack(kind, index, body, version = 1) {
  const start = [0xfa, 0xe0 | version, kind, 1, 0x23, 0x45, 0x67];
  return withRightChecks(
    Uint8Array.from([...start, 0, 0, 0, 0, 0, 0, ...index, ...body]),
    BUNDLE,
    13 + [...index].length,
  );
}

test("any payloads come back, with their qualities and names", () => {
  const random = new Random(1);
  for (let run = 0; run < 300; run++) {
    const count = random.below(run % 10 ? 12 : 300);
    const quality = random.below(10);
    const payloads = Array.from({ length: count }, () => {
      const payload = random.bytes(random.below(random.of([3, 40, 1000])) + 1);
      return quality ? payload.subarray(1) : Uint8Array.of(payload[0] % 10, ...payload.subarray(1));
    });
    const names = run % 2 ? null : payloads.map((_, index) => `image ${index}`);
    const file = parseFmae(stack(payloads, quality, names), BUNDLE);
    assert.deepEqual([file.version, file.quality, file.single], [quality ? 1 : 3, quality, false]);
    assert.deepEqual(
      [...file.payloads].map((each) => [...each]),
      payloads.map((each) => [...each]),
    );
    assert.deepEqual(file.names, names);
    payloads.forEach((payload, index) => {
      const own = quality || payload[0];
      assert.equal(file.qualities[index], own);
      assert.deepEqual(file.image(index), { quality: own, payload: quality ? payload : payload.subarray(1) });
    });
  }
});

test("the bytes around a payload are 7, and a lossless image needs version 3", () => {
  assert.equal(single(5).length, 12 + 7);
  assert.deepEqual([parseFmae(single(5), BUNDLE).version, parseFmae(single(0), BUNDLE).version], [1, 3]);
});

test("the number of low bits is the one that takes the fewest bits", () => {
  const random = new Random(2);
  for (let run = 0; run < 100; run++) {
    const lengths = Array.from({ length: 1 + random.below(30) }, () => random.below(random.of([10, 3000])));
    const least = Math.min(...lengths);
    const bits = Array.from({ length: 16 }, (_, low) => {
      return lengths.reduce((sum, length) => sum + low + ((length - least) >> low) + 1, 0);
    });
    const content = stack(lengths.map((length) => new Uint8Array(length)));
    assert.equal(content[14 + (least < 128 ? 1 : 2)], bits.indexOf(Math.min(...bits)));
  }
});

for (const [kind, content] of Object.entries({
  single: single(5),
  stack: stack([bytes("first"), bytes("second")]),
})) {
  test(`each kind of damage of a ${kind} has its own sentence`, () => {
    /** @param {number} at @param {number} byte */
    const changed = (at, byte) => content.map((old, index) => (index === at ? byte : old));
    const last = content.length - 1;
    /** @type {[Uint8Array, RegExp][]} */
    const cases = [
      [bytes("\x93NUMPY"), /^not a \.fmae file$/],
      [new Uint8Array(0), /^not a \.fmae file$/],
      [changed(1, 0xe4), /^version 4 of the \.fmae format.* reads versions 1 to 3: upgrade/],
      [changed(1, 0xe0), /^version 0 of the \.fmae format/],
      [changed(2, 0x0f), /^corrupted: byte 3 is 0x0f, which format version 1 does not define$/],
      [content.subarray(0, 5), /^truncated within its header$/],
      [content.subarray(0, last), /^truncated/],
      [changed(last, content[last] ^ 1), /^corrupted/],
    ];
    for (const [damaged, sentence] of cases) {
      assert.throws(() => parseFmae(damaged, BUNDLE), { name: "InputError", message: sentence });
    }
    const other = /^made by the bundle whose id begins with 0123.* 1123456789abcdef/;
    assert.throws(() => parseFmae(content, OTHER), { name: "InputError", message: other });
    const similar = "01234567ffffffff";
    assert.throws(() => parseFmae(content, similar), { name: "InputError", message: /^corrupted/ });
  });
}

test("invalid headers with right check codes are refused", () => {
  parseFmae(anyStack(0x85, ONE, bytes("a")), BUNDLE); // the same with a valid header
  /** @type {[string, number, number[], Uint8Array][]} */
  const cases = [
    ["more images than a file may have", 0x85, [0x81, 0x80, 0x40, 0, 0, ...Array(140_000).fill(255)], bytes("")],
    ["a payload of gigabytes", 0x85, [1, 255, 255, 255, 255, 15, 0, 0x80], bytes("")],
    ["an endless length in unary", 0x85, [1, 0, 0, ...Array(100_000).fill(0), 0x80], bytes("")],
    ["a byte after the payload", 0x85, ONE, bytes("ab")],
    ["16 low bits", 0x85, [1, 1, 16, 0, 0, 0x80], bytes("a")],
    ["a varint of 6 bytes", 0x85, [1, 0x81, 0x80, 0x80, 0x80, 0x80, 0, 0, 0x80], bytes("a")],
    ["quality 0 in version 1", 0x80, ONE, bytes("a")],
    ["quality 10", 0x8a, ONE, bytes("a")],
    ["a reserved bit", 0xc5, ONE, bytes("a")],
    ["the other reserved bit", 0xa5, ONE, bytes("a")],
    ["a payload of 65,536 bytes", 0x85, [1, 255, 255, 3, 0, 0x40], new Uint8Array(65536)],
    ["a payload of 2 x 2^15 bytes", 0x85, [2, 0, 15, 0, 0, 0, 0, 0x30], new Uint8Array(65536)],
  ];
  for (const [what, kind, index, body] of cases) {
    assert.throws(() => parseFmae(anyStack(kind, index, body), BUNDLE), { message: /corrupted/ }, what);
  }
  const empty = /an image has no quality/;
  assert.throws(() => parseFmae(anyStack(0x80, [1, 0, 0, 0x80], bytes(""), 3), BUNDLE), { message: empty });
  assert.throws(() => parseFmae(anyStack(0x80, ONE, Uint8Array.of(10), 3), BUNDLE), { message: empty });
});

test("encodings that this writer does not use are read", () => {
  for (const index of [
    [0x81, 0x80, 0x80, 0x80, 0, 0x81, 0, 0, 0x80], // varints that are longer than needed
    [1, 1, 0, 255], // ones after the last code
    [1, 1, 1, 0x7f, 255],
    [1, 0, 15, 0, 2, 0x80], // 15 low bits
    [1, 0, 0, 0x40], // a shortest length that no payload has
  ]) {
    assert.deepEqual([...parseFmae(anyStack(0x85, index, bytes("a")), BUNDLE).payloads], [bytes("a")]);
  }
  assert.deepEqual(parseFmae(anyStack(0x85, ONE, bytes("a"), 3), BUNDLE).version, 3);
});

test("more images than maxImages are refused, before memory is allocated for them", () => {
  const million = anyStack(0x85, [0x80, 0x80, 0x40, 0, 0, ...Array(1 << 17).fill(255)], bytes(""));
  assert.equal(parseFmae(million, BUNDLE, { maxImages: 1 << 20 }).payloads.length, 1 << 20);
  const tooMany = /^claims 1048576 images, more than maxImages=1048575$/;
  assert.throws(() => parseFmae(million, BUNDLE, { maxImages: (1 << 20) - 1 }), { message: tooMany });
  const none = /^claims 1 images, more than maxImages=0$/;
  assert.throws(() => parseFmae(single(5), BUNDLE, { maxImages: 0 }), { message: none });
  for (const maxImages of [-1, 1.5, NaN, "1", null]) {
    const options = /** @type {any} */ ({ maxImages });
    assert.throws(() => parseFmae(single(5), BUNDLE, options), {
      name: "ArgumentError",
      message: /^maxImages is /,
    });
  }
});

test("invalid names are refused, and the images are not", () => {
  const listed = bytes("a\0a");
  const file = parseFmae(anyStack(0x95, [2, 1, 0, 0xc0, listed.length, ...listed], bytes("xy")), BUNDLE);
  assert.deepEqual([...file.payloads], [bytes("x"), bytes("y")]);
  const sentence = "contains invalid image names: 'a' is the name of two images; names must be different";
  assert.throws(() => file.names, { name: "InputError", message: sentence });
  assert.deepEqual([file.describe().names, file.describe().namesError], [null, sentence]);
});

test("payloads that are longer than those of any image are refused", () => {
  const file = parseFmae(stack([new Uint8Array(33), new Uint8Array(34)]), BUNDLE);
  file.requireFitting(9, 1);
  const sentence = "corrupted: a payload has 34 bytes, more than one image can take";
  assert.throws(() => file.requireFitting(8, 1000), { name: "InputError", message: sentence });
  const own = parseFmae(stack([Uint8Array.of(0, 8, 1, 1), Uint8Array.of(5, 1, 1, 1, 1, 1)], 0), BUNDLE);
  own.requireFitting(1, 2);
  assert.throws(() => own.requireFitting(1, 1), InputError);
  assert.throws(() => own.requireFitting(0, 2), InputError);
});

test("a file is described without its bundle", () => {
  assert.deepEqual(describeFmae(stack([bytes("one"), bytes("three")], 7, ["a/b", "c"])), {
    formatVersion: 2,
    bundleId: "01234567",
    quality: 7,
    images: 2,
    single: false,
    fileBytes: 31,
    payloadBytes: [3, 5],
    names: ["a/b", "c"],
    namesError: null,
    qualities: [7, 7],
  });
  assert.equal(describeFmae(single(3)).bundleId, "0123");
  assert.ok(isFmae(single(3)) && !isFmae(bytes("PNG")));
});

test("arguments of other types are refused with a sentence", () => {
  const anything = [null, undefined, 1.5, "text", {}, [], Symbol("s"), () => 1];
  for (const value of /** @type {any[]} */ (anything)) {
    assert.throws(() => parseFmae(value, BUNDLE), FmaeError);
    assert.throws(() => describeFmae(value), FmaeError);
    assert.throws(() => parseFmae(single(5), value), FmaeError);
    assert.throws(() => stack([value]), FmaeError);
    assert.throws(() => stack([bytes("x")], value ?? 10), FmaeError);
    assert.throws(() => parseFmae(single(5), BUNDLE).image(value), FmaeError);
  }
  const shared = single(5);
  assert.equal(parseFmae(/** @type {any} */ (shared.buffer), BUNDLE).quality, 5);
});

test("the limits are those of the page", () => {
  const page = readText("spec/format.md");
  assert.match(page, /more than 2\^20 images; k above 15; a varint of more than 5 bytes/);
  assert.match(page, /more than 65,535 bytes if the header has a quality, else of more than 2\^26 \+ 2 bytes/);
  const long = "a payload has 65536 bytes; a .fmae file allows 65535";
  assert.throws(() => stack([new Uint8Array(65536)]), { name: "InputError", message: long });
});
