/** The engine without onnxruntime returns the golden vectors, and its kernels are those of the source. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";

import { checkGraph, parseGraph } from "../bundle/onnx_graph.js";
import { BundleError, FmaeError, InputError, ResourceError } from "../errors.js";
import { newKernels } from "../engine/kernels.js";
import { createEngine } from "../engine/own.js";
import { Bundle } from "../bundle/bundle.js";
import { readTensors } from "../bundle/safetensors.js";
import { REPOSITORY, read } from "./repository.js";

/** @param {string} name "default" or "detail" */
async function builtIn(name) {
  const folder = `fmae_edge/bundles/${name}`;
  const golden = readTensors(await read(`${folder}/golden.safetensors`), name, { floats: true });
  return {
    bundle: await Bundle.load(fileURLToPath(new URL(folder, REPOSITORY))),
    golden: (/** @type {string} */ tensor) => /** @type {any} */ (golden.get(tensor)?.data),
  };
}

const IMAGES = 8;
const PIXELS = 784;
const CLANG = "14.0.6";

for (const name of ["default", "detail"]) {
  test(`the int8 graphs of ${name} return exactly the golden latents and pixels`, async () => {
    const { bundle, golden } = await builtIn(name);
    const engine = await createEngine(bundle, { precision: "int8" });
    const latents = golden("int8.latents");
    assert.deepEqual(await engine.encode(golden("images"), IMAGES), latents);
    assert.deepEqual(await engine.decode(latents, IMAGES), golden("int8.pixels"));
  });

  test(`the float32 graphs of ${name} return the golden vectors, but for the rounding of sums`, async () => {
    const { bundle, golden } = await builtIn(name);
    const engine = await createEngine(bundle, { precision: "fp32" });
    const expected = golden("fp32.latents");
    const latents = await engine.encode(golden("images"), IMAGES);
    const range = Math.max(...expected) - Math.min(...expected);
    assert.ok(rootMeanSquare(latents, expected) < 1e-6 * range);
    const pixels = await engine.decode(expected, IMAGES);
    assert.ok(rootMeanSquare(pixels, golden("fp32.pixels")) < 0.1);
  });
}

/**
 * @param {ArrayLike<number>} found
 * @param {ArrayLike<number>} expected
 */
function rootMeanSquare(found, expected) {
  assert.equal(found.length, expected.length);
  const squares = Array.from(found, (value, at) => (value - expected[at]) ** 2);
  return Math.sqrt(squares.reduce((sum, square) => sum + square, 0) / found.length);
}

test("images are independent of the others in a call, and of the calls before", async () => {
  const { bundle, golden } = await builtIn("default");
  const engine = await createEngine(bundle, { precision: "int8" });
  const images = golden("images");
  const numbers = Array.from({ length: 37 }, (_, at) => (at * 5) % IMAGES);
  const pixels = (/** @type {number} */ number) => images.subarray(number * PIXELS, (number + 1) * PIXELS);
  const many = Uint8Array.from(numbers.flatMap((number) => [...pixels(number)]));
  const latents = await engine.encode(many, numbers.length);
  const decoded = await engine.decode(latents, numbers.length);
  const size = latents.length / numbers.length;
  for (const [at, number] of numbers.entries()) {
    const alone = await engine.encode(pixels(number), 1);
    assert.deepEqual(latents.subarray(at * size, (at + 1) * size), alone);
    assert.deepEqual(decoded.subarray(at * PIXELS, (at + 1) * PIXELS), await engine.decode(alone, 1));
  }
  assert.equal((await engine.encode(new Uint8Array(), 0)).length, 0);
});

test("a damaged graph is an FmaeError, or still a graph that runs", async () => {
  const whole = readFileSync(new URL("../../fuzz/corpus/graph/decoder-rewritten.onnx", import.meta.url));
  let ran = 0;
  for (let at = 0; at < whole.length; at += 1 + (at >> 7)) {
    const bytes = at % 2 ? whole.subarray(0, at) : Uint8Array.from(whole);
    if (at % 2 === 0) {
      bytes[at] ^= 1 << (at % 8);
    }
    const manifest = { imageChannels: 1, imageHeight: 28, imageWidth: 28, latentSize: 64 };
    const bundle = { where: "bundle", manifest, file: async () => bytes };
    try {
      const engine = await createEngine(/** @type {any} */ (bundle), { precision: "int8" });
      assert.equal((await engine.decode(new Float32Array(64).fill(1), 1)).length, PIXELS);
      ran += 1;
    } catch (error) {
      assert.ok(error instanceof FmaeError, `${error}`);
    }
  }
  assert.ok(ran > 0);
});

test("latents that are too large for the float32 graphs are an InputError", async () => {
  const { bundle } = await builtIn("default");
  const engine = await createEngine(bundle, { precision: "fp32" });
  await assert.rejects(engine.decode(new Float32Array(64).fill(3e38), 1), InputError);
  assert.equal((await engine.decode(new Float32Array(64).fill(3), 1)).length, PIXELS);
});

test("a graph that needs more memory than there is is a ResourceError", async () => {
  const kernels = await newKernels();
  assert.throws(() => kernels.allocate(2 ** 32), ResourceError);
  assert.ok(kernels.allocate(1000) > 0); // the memory is still in order
});

test("graphs are refused whose ports are not those of the manifest", async () => {
  const graph = parseGraph(await read("fmae_edge/bundles/default/decoder.onnx"));
  const image = [1, 28, 28];
  assert.equal(checkGraph(graph, { image, latent: 64, kind: "decoder" }).length, 12);
  assert.throws(() => checkGraph(graph, { image, latent: 65, kind: "decoder" }), BundleError);
  assert.throws(() => checkGraph(graph, { image: [1, 28, 29], latent: 64, kind: "decoder" }), BundleError);
  assert.throws(() => checkGraph(graph, { image, latent: 64, kind: "encoder" }), BundleError);
});

const version = spawnSync("clang", ["--version"], { encoding: "utf8" }).stdout ?? "";

test("kernels_wasm.js is what build.sh makes of the kernels in C", { skip: !version.includes(CLANG) }, () => {
  const folder = mkdtempSync(join(tmpdir(), "kernels-"));
  try {
    const made = join(folder, "kernels_wasm.js");
    const script = new URL("../engine/build.sh", import.meta.url);
    assert.equal(spawnSync("sh", [fileURLToPath(script), made], { stdio: "inherit" }).status, 0);
    const committed = new URL("../engine/kernels_wasm.js", import.meta.url);
    assert.equal(readFileSync(made, "utf8"), readFileSync(committed, "utf8"));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
