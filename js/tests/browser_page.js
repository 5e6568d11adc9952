/** Run the checks of the golden files and of the codec in a browser, and post what failed. */

import { Prior } from "../entropy/prior.js";
import { decodeSymbols } from "../entropy/symbol_coder.js";
import { readTensors } from "../bundle/safetensors.js";
import { encodeLossless, decodeLossless } from "../format/lossless.js";
import { parseFmae } from "../format/fmae_file.js";
import { CODEC_CHECKS } from "./browser_codec.js";
import { assertSame, loadGolden, text } from "./golden.js";
import { CHECKS } from "./golden_checks.js";

/** @param {string} path in the repository */
async function read(path) {
  const response = await fetch(`/${path}`);
  if (!response.ok) {
    throw new Error(`${path}: ${response.status}`);
  }
  return new Uint8Array(await response.arrayBuffer());
}

/** Lossless images are compressed by the browser itself, so this differs from Node. */
async function losslessComesBack() {
  const size = { width: 40, height: 30, channels: 3 };
  const pixels = Uint8Array.from({ length: 3600 }, (_, index) => (index * index) % 251);
  assertSame(decodeLossless(await encodeLossless(pixels, size), size), pixels);
}

/** Return the milliseconds that decoding the symbols of one image takes. */
async function millisecondsPerImage() {
  const folder = "fmae_edge/bundles/default";
  const manifest = JSON.parse(await text(read, `${folder}/manifest.json`));
  const prior = Prior.parse(await read(`${folder}/prior.safetensors`), 64, manifest.qualities.steps);
  const file = readTensors(await read(`${folder}/golden.safetensors`), "golden", { floats: true }).get("file");
  const { payloads, quality } = parseFmae(/** @type {Uint8Array} */ (file?.data), manifest.bundle_id);
  let best = Infinity; // other programs only make it slower
  for (const begun = performance.now(); performance.now() - begun < 500; ) {
    const started = performance.now();
    for (const payload of payloads) {
      decodeSymbols(prior, payload, quality);
    }
    best = Math.min(best, (performance.now() - started) / payloads.length);
  }
  return best;
}

/** @type {Record<string, string>} */
const failures = {};
let golden = null;
try {
  golden = await loadGolden(read);
} catch (error) {
  failures["loading the golden files"] = String(error);
}
/** @type {typeof CHECKS} */
const checks = { ...CHECKS, "a lossless image comes back": losslessComesBack, ...CODEC_CHECKS };
for (const [name, check] of Object.entries(checks)) {
  try {
    await check(/** @type {import("./golden.js").Golden} */ (golden), read);
  } catch (error) {
    failures[name] = `${error}`;
  }
}
const results = { failures, milliseconds: await millisecondsPerImage(), checks: Object.keys(checks).length };
await fetch("/results", { method: "POST", body: JSON.stringify(results) });
