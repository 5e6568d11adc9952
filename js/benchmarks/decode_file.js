/**
 * Decode a .fmae file: `node js/benchmarks/decode_file.js BUNDLE FILE OUT [ENGINE] [PRECISION]`.
 *
 * ENGINE is onnxruntime (the default) or own, PRECISION int8 (the default) or fp32. Writes OUT.symbols (int32) and
 * OUT.pixels (uint8), and prints the milliseconds per image as JSON: of the symbols, and of all of decompression.
 */

import { readFileSync, writeFileSync } from "node:fs";

import { Codec } from "../codec.js";

const [bundle, file, out, name = "onnxruntime", precision = "int8"] = process.argv.slice(2);
const { createEngine } = await import(`../engine/${name}.js`);
const codec = await Codec.load(bundle, {
  engine: createEngine,
  precision: /** @type {import("../engine/engine.js").Precision} */ (precision),
});
const content = new Uint8Array(readFileSync(file));
await codec.decompress(content, { index: 0 }); // loads the graph, which is not timed

let started = performance.now();
const symbols = await codec.symbols(content);
const symbolsMs = (performance.now() - started) / symbols.length;
started = performance.now();
const images = await codec.decompressBatch(content);
const decompressMs = (performance.now() - started) / images.length;

writeFileSync(`${out}.symbols`, Buffer.concat(symbols.map((row) => new Uint8Array(row.buffer))));
writeFileSync(`${out}.pixels`, Buffer.concat(images.map(({ data }) => data)));
console.log(JSON.stringify({ symbolsMs, decompressMs }));
