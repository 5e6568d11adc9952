/**
 * Compare the engines: `node js/benchmarks/engines.js [BUNDLE] [--chromium]`. BUNDLE is a folder of the
 * repository; the default is fmae_edge/bundles/default. Prints milliseconds per image, in Node or in headless
 * Chromium, on one thread.
 */

import { fileURLToPath } from "node:url";

import { resultsOf } from "../tests/chromium.js";
import { REPOSITORY } from "../tests/repository.js";
import { engineTimes } from "./engine_times.js";

const given = process.argv.slice(2);
const bundle = given.find((argument) => !argument.startsWith("--")) ?? "fmae_edge/bundles/default";
const DIST = "/js/node_modules/onnxruntime-web/dist/";
const PAGE = `<!doctype html><script type="module">
  import * as ort from "${DIST}ort.wasm.min.mjs";
  import { engineTimes } from "/js/benchmarks/engine_times.js";
  const times = await engineTimes("/${bundle}", { ort, wasmPaths: new URL("${DIST}", location).href });
  await fetch("/results", { method: "POST", body: JSON.stringify(times) });
</script>`;

const times = given.includes("--chromium")
  ? await resultsOf(PAGE)
  : await engineTimes(fileURLToPath(new URL(bundle, REPOSITORY)));
console.table(times);
