/**
 * Print how long the first image takes: `node js/benchmarks/cold_start.js BUNDLE FILE`. Milliseconds until it is
 * decoded, since the process started and since the import of the codec began.
 */

const started = performance.now();

const { readFileSync } = await import("node:fs");
const { Codec } = await import("../codec.js");

const [bundle, file] = process.argv.slice(2);
const codec = await Codec.load(bundle);
await codec.decompress(new Uint8Array(readFileSync(file)), { index: 0 });
const now = performance.now();
console.log(JSON.stringify({ sinceProcess: now, sinceImport: now - started }));
