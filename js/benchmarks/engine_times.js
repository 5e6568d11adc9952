/** The time that each engine takes for an image; works in Node and in browsers. */

import { Bundle } from "../bundle/bundle.js";
import { createEngine as createOnnxruntime } from "../engine/onnxruntime.js";
import { createEngine as createOwn } from "../engine/own.js";

const REPETITIONS = 25;
const IMAGES = 64;

/**
 * Return the median milliseconds per image of encoding and decoding, for calls with one image and with 64. The
 * repetitions of all engines take turns, so that other work on the machine slows all of them.
 *
 * @param {import("../bundle/bundle_source.js").BundleLike} source
 * @param {{ ort?: any, wasmPaths?: string }} [onnxruntime] options of its engine
 * @returns {Promise<Record<string, { encode: number, decode: number }>>}
 */
export async function engineTimes(source, onnxruntime = {}) {
  const bundle = await Bundle.load(source);
  const { imageChannels, imageHeight, imageWidth } = bundle.manifest;
  const pixels = imageChannels * imageHeight * imageWidth;
  const images = Uint8Array.from({ length: IMAGES * pixels }, (_, at) => 127 + 127 * Math.sin(at / 9));
  const calls = [];
  for (const precision of /** @type {const} */ (["int8", "fp32"])) {
    const engines = {
      own: await createOwn(bundle, { precision }),
      onnxruntime: await createOnnxruntime(bundle, { precision, ...onnxruntime }),
    };
    for (const [name, engine] of Object.entries(engines)) {
      const latents = await engine.encode(images, IMAGES);
      const size = latents.length / IMAGES;
      for (const count of [1, IMAGES]) {
        calls.push({
          name: `${name} ${precision}, ${count === 1 ? "1 image" : `${count} images`} per call`,
          count,
          encode: () => engine.encode(images.subarray(0, count * pixels), count),
          decode: () => engine.decode(latents.subarray(0, count * size), count),
          times: { encode: /** @type {number[]} */ ([]), decode: /** @type {number[]} */ ([]) },
        });
      }
    }
  }
  for (let repetition = 0; repetition < REPETITIONS; repetition++) {
    for (const call of calls) {
      for (const what of /** @type {const} */ (["encode", "decode"])) {
        call.times[what].push(await millisecondsPerImage(call[what], call.count));
      }
    }
  }
  return Object.fromEntries(
    calls.map(({ name, times }) => [name, { encode: median(times.encode), decode: median(times.decode) }]),
  );
}

/** @param {() => Promise<unknown>} call @param {number} count of its images */
async function millisecondsPerImage(call, count) {
  const calls = Math.ceil(16 / count); // clocks of browsers are coarse
  const started = performance.now();
  for (let number = 0; number < calls; number++) {
    await call();
  }
  return (performance.now() - started) / calls / count;
}

/** @param {number[]} times */
function median(times) {
  const [middle] = times.sort((first, second) => first - second).slice(times.length >> 1);
  return Number(middle.toFixed(3));
}
