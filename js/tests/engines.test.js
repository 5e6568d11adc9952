/** How both engines behave in a codec: calls at the same time, failures, and graphs that are loaded again. */

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { readTensors } from "../bundle/safetensors.js";
import { Codec } from "../codec.js";
import * as onnxruntime from "../engine/onnxruntime.js";
import * as own from "../engine/own.js";
import { BundleError, InputError } from "../errors.js";

const BUNDLES = fileURLToPath(new URL("../../fmae_edge/bundles", import.meta.url));
const gray = { width: 28, height: 28, channels: 1, data: new Uint8Array(784).fill(7) };

/** @returns {Record<string, Uint8Array>} the bytes of each file of the default bundle */
function files() {
  const names = readdirSync(`${BUNDLES}/default`);
  return Object.fromEntries(
    names.map((name) => [name, new Uint8Array(readFileSync(`${BUNDLES}/default/${name}`))]),
  );
}

for (const [name, { createEngine }] of Object.entries({ own, onnxruntime })) {
  test(`calls at the same time do not disturb each other in ${name}`, async () => {
    const codec = await Codec.load(`${BUNDLES}/default`, { engine: createEngine });
    const images = [1, 2, 3, 4].map((level) => ({ ...gray, data: gray.data.map((_, at) => (at * level) % 256) }));
    const alone = [];
    for (const image of images) {
      alone.push(await codec.decompress(await codec.compress(image)));
    }
    const together = images.map(async (image) => codec.decompress(await codec.compress(image)));
    assert.deepEqual(await Promise.all(together), alone);
  });

  test(`each of 300 images is coded as if it were alone in ${name}`, async () => {
    const codec = await Codec.load(`${BUNDLES}/default`, { engine: createEngine });
    const levels = readTensors(files()["golden.safetensors"], "golden", { floats: true }).get("images")?.data;
    const different = [0, 1, 2, 3, 4, 5, 6].map((number) => {
      return { ...gray, data: Uint8Array.from(levels?.slice(784 * number, 784 * (number + 1)) ?? []) };
    });
    const images = Array.from({ length: 300 }, (_, number) => different[number % different.length]);
    const expected = [];
    for (const image of different) {
      const file = await codec.parse(await codec.compress(image, { minPsnr: 24 }));
      expected.push({ ...file.image(0), image: await codec.decompress(file) });
    }
    assert(new Set(expected.map(({ quality }) => quality)).size > 3);
    const file = await codec.parse(await codec.compressBatch(images, { minPsnr: 24 }));
    for (const [number, image] of (await codec.decompressBatch(file)).entries()) {
      assert.deepEqual({ ...file.image(number), image }, expected[number % different.length]);
    }
    await codec.close();
  });

  test(`a closed codec loads its graphs again in ${name}`, async () => {
    const codec = await Codec.load(`${BUNDLES}/default`, { engine: createEngine });
    const content = await codec.compress(gray);
    await codec.close();
    assert.deepEqual(await codec.compress(gray), content);
    await codec.close();
    await codec.close();
  });

  test(`latents that overflow are refused by ${name}`, async () => {
    const codec = await Codec.load(`${BUNDLES}/default`, { engine: createEngine, precision: "fp32" });
    const latents = new Float32Array(64).fill(3e38);
    await assert.rejects(codec.decode(latents), (error) => {
      assert(error instanceof InputError, String(error));
      assert.equal(error.message, "latents are too large to decode: pixels overflow");
      return true;
    });
  });

  test(`what has failed in ${name} is tried again`, async () => {
    const { "encoder.onnx": encoder, ...content } = files();
    let isBroken = true;
    const codec = await Codec.load(content, {
      engine: async (bundle, options) => {
        if (isBroken) {
          throw new BundleError("no engine yet");
        }
        return createEngine(bundle, options);
      },
    });
    await assert.rejects(codec.encode(gray), { name: "BundleError", message: "no engine yet" });
    isBroken = false;
    await assert.rejects(codec.encode(gray), { name: "BundleError", message: /encoder\.onnx is missing/ });
    content["encoder.onnx"] = encoder;
    assert.equal((await codec.encode(gray)).length, 64);
    await codec.close();
  });
}

test("what onnxruntime-web fails to do is blamed on the graph, or on memory", async () => {
  const session = { run: () => Promise.reject(new Error("no")), release: async () => {} };
  class Tensor {}
  /** @type {(create: () => unknown) => any} */
  const fake = (create) => ({ env: { wasm: {}, versions: { web: "1" } }, InferenceSession: { create }, Tensor });
  /** @type {[any, RegExp, string][]} */
  const cases = [
    [fake(() => session), /encoder\.onnx fails in onnxruntime-web: no$/, "BundleError"],
    [
      fake(() => Promise.reject(new Error("odd"))),
      /encoder\.onnx cannot be loaded by onnxruntime-web 1: odd$/,
      "BundleError",
    ],
    [
      fake(() => Promise.reject(new RangeError("std::bad_alloc"))),
      /onnxruntime-web 1: out of memory/,
      "ResourceError",
    ],
  ];
  for (const [ort, message, name] of cases) {
    const engine = /** @type {import("../engine/engine.js").CreateEngine} */ (
      (bundle, options) => onnxruntime.createEngine(bundle, { ...options, ort })
    );
    const codec = await Codec.load(`${BUNDLES}/default`, { engine });
    await assert.rejects(codec.encode(gray), { name, message });
  }
});
