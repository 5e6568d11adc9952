/** The codec with both engines: golden vectors of the built-in bundles, and refused arguments. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

import { readTensors } from "../bundle/safetensors.js";
import { Codec } from "../codec.js";
import * as onnxruntime from "../engine/onnxruntime.js";
import * as own from "../engine/own.js";
import { InputError } from "../errors.js";
import { toImageData } from "../images.js";

/** @import { ImageSize } from "../images.js" */

const BUNDLES = fileURLToPath(new URL("../../fmae_edge/bundles", import.meta.url));
// The largest root mean square differences that spec/bundle.md allows: of latents as a share of their range
const MOST = { int8: { latents: 5e-3, pixels: 1 }, fp32: { latents: 1e-4, pixels: 0.1 } };
const BUNDLES_AND_PRECISIONS = ["default", "detail"].flatMap((name) =>
  /** @type {const} */ (["int8", "fp32"]).map((precision) => ({ name, precision })),
);

const codec = await Codec.load(`${BUNDLES}/default`);
after(() => codec.close());
const gray = { width: 28, height: 28, channels: 1, data: new Uint8Array(784).fill(7) };
const rgba = { width: 28, height: 28, data: new Uint8ClampedArray(784 * 4).fill(255) };

/** @param {string} name of a bundle */
function goldenVectors(name) {
  const tensors = readTensors(readFileSync(`${BUNDLES}/${name}/golden.safetensors`), "golden", { floats: true });
  return (/** @type {string} */ tensor) => {
    const found = tensors.get(tensor);
    assert(found);
    return found.data;
  };
}

/** @param {number} length */
function transferred(length) {
  const buffer = new ArrayBuffer(length);
  structuredClone(buffer, { transfer: [buffer] });
  return buffer;
}

/** @param {ArrayLike<number>} values @param {number} length */
function rows(values, length) {
  return Array.from({ length: values.length / length }, (_, row) =>
    Array.from({ length }, (_, column) => values[row * length + column]),
  );
}

/** @param {ArrayLike<number>} levels @param {ImageSize} size */
function imagesIn(levels, size) {
  const { width, height, channels } = size;
  return rows(levels, width * height * channels).map((row) => ({ ...size, data: Uint8Array.from(row) }));
}

/** @param {readonly ArrayLike<number>[]} given @param {ArrayLike<number>} expected */
function difference(given, expected) {
  const values = given.flatMap((row) => Array.from(row));
  assert.equal(values.length, expected.length);
  return Math.sqrt(values.reduce((sum, value, index) => sum + (value - expected[index]) ** 2, 0) / values.length);
}

for (const [engine, { createEngine }] of Object.entries({ own, onnxruntime })) {
  for (const { name, precision } of BUNDLES_AND_PRECISIONS) {
    test(`golden vectors of ${name} in ${precision}, with the engine ${engine}`, async () => {
      const golden = goldenVectors(name);
      const codec = await Codec.load(`${BUNDLES}/${name}`, { precision, engine: createEngine });
      const images = imagesIn(golden("images"), codec.image);
      const expected = golden(`${precision}.latents`);
      const latents = await codec.encode(images);
      const range = Math.max(...expected) - Math.min(...expected);
      assert(difference(latents, expected) <= MOST[precision].latents * range);
      const values = rows(expected, codec.manifest.latentSize).map((row) => Float32Array.from(row));
      const decoded = /** @type {import("../images.js").DecodedImage[]} */ (await codec.decode(values));
      const pixels = decoded.map(({ data }) => data);
      assert(difference(pixels, golden(`${precision}.pixels`)) <= MOST[precision].pixels);

      const file = Uint8Array.from(golden("file"));
      const symbols = await codec.symbols(file);
      assert.deepEqual(
        symbols.map((row) => [...row]),
        rows(golden("symbols"), codec.manifest.latentSize),
      );
      assert.deepEqual(await codec.decode(symbols, 5), await codec.decompressBatch(file));
      await codec.close();
    });
  }
}

test("an image of its own canvas gives the same file", async () => {
  const { data } = gray;
  const pixels = Uint8ClampedArray.from({ length: 784 * 4 }, (_, at) => (at % 4 === 3 ? 255 : data[at >> 2]));
  assert.deepEqual(await codec.compress({ width: 28, height: 28, data: pixels }), await codec.compress(gray));
});

test("colours become gray as in Pillow", async () => {
  // Image.new("RGB", (1, 1), colour).convert("L").getpixel((0, 0)) for each colour
  const levels = new Map([
    ["255,0,0", 76],
    ["0,255,0", 150],
    ["0,0,255", 29],
    ["1,2,3", 2],
    ["200,100,50", 124],
  ]);
  for (const [colour, level] of levels) {
    const pixel = [...colour.split(",").map(Number), 255];
    const data = Uint8ClampedArray.from({ length: 784 * 4 }, (_, at) => pixel[at % 4]);
    const lossless = await codec.compress({ width: 28, height: 28, data }, { minPsnr: Infinity });
    const decoded = await codec.decompress(lossless);
    assert(!Array.isArray(decoded));
    assert(
      decoded.data.every((each) => each === level),
      colour,
    );
  }
});

test("a decoded image for a canvas", () => {
  globalThis.ImageData ??= /** @type {any} */ (
    class {
      /** @param {Uint8ClampedArray} data @param {number} width @param {number} height */
      constructor(data, width, height) {
        Object.assign(this, { data, width, height });
      }
    }
  );
  const one = toImageData({ width: 2, height: 1, channels: 1, data: Uint8Array.of(3, 4) });
  assert.deepEqual([...one.data], [3, 3, 3, 255, 4, 4, 4, 255]);
  const other = toImageData({ width: 1, height: 1, channels: 3, data: Uint8Array.of(1, 2, 3) });
  assert.deepEqual([...other.data], [1, 2, 3, 255]);
});

/** @type {[string, any[], string][]} */
const REFUSED = [
  ["compress", [null], "the image is null; expected ImageData or { width, height, channels, data }"],
  ["compress", [3], "the image is 3"],
  ["compress", [{ ...gray, data: [0] }], "the data of the image is Array; expected a Uint8Array"],
  ["compress", [{ ...gray, width: 30 }], "the image has 30x28 pixels; this bundle takes 28x28"],
  ["compress", [{ ...gray, width: "28" }], "the image has '28'x28 pixels"],
  ["compress", [{ ...gray, channels: 3 }], "the image has 3 channels; this bundle takes 1 (gray) or 4 (RGBA)"],
  ["compress", [{ ...gray, data: new Uint8Array(2) }], "has 2 numbers; expected 28 x 28 x 1 = 784"],
  ["compress", [{ ...rgba, data: rgba.data.map((_, at) => at % 4) }], "a transparent pixel (column 0, row 0)"],
  ["compress", [gray, 3], "options are 3; expected an object with quality, effort, maxBytes, minPsnr, bare"],
  ["compress", [gray, null], "options are null"],
  ["compress", [gray, { max_bytes: 9 }], "options have 'max_bytes'"],
  ["compress", [gray, { quality: 0 }], "quality is 0; expected an integer from 1 to 9"],
  ["compress", [gray, { quality: "5" }], "quality is '5'; expected an integer"],
  ["compress", [gray, { effort: 3 }], "effort is 3; expected 0, because only the Python package searches"],
  ["compress", [gray, { maxBytes: 8 }], "maxBytes is 8, but the lowest quality takes"],
  ["compress", [gray, { maxBytes: 8.5 }], "maxBytes is 8.5; expected an integer"],
  ["compress", [gray, { minPsnr: -1 }], "minPsnr is -1; expected a number of dB above 0"],
  ["compress", [gray, { minPsnr: 20, quality: 2 }], "minPsnr chooses the quality; use it or a quality, not both"],
  ["compress", [gray, { minPsnr: 20, bare: true }], "minPsnr chooses the quality, which a bare payload does not"],
  ["compress", [gray, { bare: 1 }], "bare is 1; expected true or false"],
  ["compressBatch", [gray], "images are Object; expected an array of images"],
  ["compressBatch", [[gray, null]], "image 1: the image is null"],
  ["compressBatch", [[, gray]], "image 0: the image is undefined"],
  ["compressBatch", [[gray], null], "options are null"],
  ["compressBatch", [[gray], { names: ["a", "b"] }], "expected a list of 1 names"],
  ["compressBatch", [[gray], { names: ["a:b"] }], "cannot be the name of an image"],
  ["compressBatch", [[gray], { names: ["a"], bare: true }], "names need a .fmae file"],
  ["decompress", ["text"], "expected the bytes of a .fmae file as a Uint8Array, got string"],
  ["decompress", [Uint8Array.of(1, 2, 3)], "not a .fmae file"],
  ["decompress", [transferred(3)], "an ArrayBuffer that was transferred elsewhere"],
  ["decompress", [new Array(2), { bare: true, quality: 5 }], "expected the bytes of a bare payload"],
  ["decompress", [new Uint8Array(), null], "options are null"],
  ["decompress", [new Uint8Array(), { bare: true }], "quality is missing"],
  ["decompress", [new Uint8Array(), { quality: 3 }], "quality is for bare payloads"],
  [
    "decompress",
    [new Uint8Array(258), { bare: true, quality: 3 }],
    "a payload has 258 bytes, more than one image",
  ],
  ["decompress", [new Uint8Array(), { maxImages: -1 }], "maxImages is -1"],
  ["decode", [[0.5]], "latents are number; expected a Float32Array"],
  ["decode", [new Float32Array(63)], "latents have 63 values; expected 64"],
  ["decode", [new Float32Array(64).fill(NaN)], "latents contain NaN or infinity"],
  ["decode", [new Int32Array(64)], "for symbols of a .fmae file, give quality too"],
  ["decode", [new Int32Array(64), 10], "quality is 10; expected an integer from 1 to 9"],
  ["decode", [new Array(64).fill(0.5), 3], "latents contain 0.5; with a quality, expected integers"],
  ["decode", [new Array(64), 3], "latents contain undefined; with a quality, expected integers"],
  ["decode", ["text", 3], "latents are string; with a quality, expected integers"],
  ["encode", [undefined], "the image is undefined"],
  ["symbols", [null], "expected the bytes of a .fmae file as a Uint8Array, got null"],
  ["symbols", [new Uint8Array(), { index: 3 }], "options have 'index'"],
  ["names", [{}], "expected the bytes of a .fmae file as a Uint8Array, got Object"],
];

for (const [method, given, message] of REFUSED) {
  test(`${method}: ${message}`, async () => {
    await assert.rejects(/** @type {any} */ (codec)[method](...given), (error) => {
      assert(error instanceof InputError, String(error));
      assert(error.message.includes(message), error.message);
      return true;
    });
  });
}

/** @type {[string, any[], string][]} */
const REFUSED_PACKETS = [
  ["compress", [[gray], 15], "packetBytes is 15; expected an integer from 16 to 1024"],
  ["compress", [[gray], 30, { fill: true, maxBytes: 9 }], "fill raises the quality of packets"],
  ["compress", [[gray], 30, { fill: 1 }], "fill is 1; expected true or false"],
  ["compress", [[gray], 30, { minPsnr: 9 }], "options have 'minPsnr'"],
  ["compress", [[gray], 30, { maxBytes: 2 }], "image 0: maxBytes is 2, but the image takes"],
  ["decompress", [[Uint8Array.of(1, 2, 3)]], "packet 0: has 3 bytes; a packet has at least 4"],
  ["decompress", [3], "packets are number; expected an array of packets"],
];

for (const [method, given, message] of REFUSED_PACKETS) {
  test(`packets.${method}: ${message}`, async () => {
    await assert.rejects(/** @type {any} */ (codec.packets)[method](...given), (error) => {
      assert(error instanceof InputError, String(error));
      assert(error.message.includes(message), error.message);
      return true;
    });
  });
}
