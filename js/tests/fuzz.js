/**
 * Feed changed golden files to every reader: `npm run fuzz` makes 100,000, `npm run fuzz -- FIRST COUNT` others.
 *
 * A reader returns, or throws an FmaeError, within seconds. Anything else is printed with the number of the
 * input, and the exit code is 1. An input depends only on its number.
 */

import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";

import { Fuzzer } from "./fuzz_inputs.js";
import { toHex } from "./golden.js";
import { GOLDEN, read } from "./repository.js";

const COUNT = 100_000;
const SECONDS_PER_INPUT = 10;

if (isMainThread) {
  const [first = 0, count = COUNT] = process.argv.slice(2).map(Number);
  watch(first, count);
} else {
  await run(workerData);
}

/**
 * Run the inputs in a worker, and end it if an input takes too long.
 *
 * @param {number} first
 * @param {number} count
 */
function watch(first, count) {
  const progress = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL(import.meta.url), { workerData: { first, count, progress } });
  let seen = -1;
  const watchdog = setInterval(() => {
    if (progress[0] === seen) {
      console.error(`input ${first + seen} takes more than ${SECONDS_PER_INPUT} seconds`);
      process.exit(1);
    }
    seen = progress[0];
  }, 1000 * SECONDS_PER_INPUT);
  worker.on("message", (text) => console.log(text));
  worker.on("error", (error) => {
    console.error(error);
    process.exitCode = 1;
  });
  worker.on("exit", () => clearInterval(watchdog));
}

/** @param {{ first: number, count: number, progress: Int32Array }} data */
async function run({ first, count, progress }) {
  const files = await Promise.all(
    ["network", "tables"].map((name) => read(`spec/golden/format-1/${name}.safetensors`)),
  );
  const fuzzer = new Fuzzer(GOLDEN, files);
  /** @type {Record<string, { accepted: number, refused: number }>} */
  const counts = {};
  let slowest = 0;
  const started = performance.now();
  for (let index = 0; index < count; index++) {
    progress[0] = index;
    const input = fuzzer.input(first + index);
    const began = performance.now();
    try {
      counts[input.kind] ??= { accepted: 0, refused: 0 };
      counts[input.kind][fuzzer.accepts(input) ? "accepted" : "refused"]++;
    } catch (error) {
      throw new Error(`input ${first + index}, ${input.kind} ${toHex(input.content)}`, { cause: error });
    }
    slowest = Math.max(slowest, performance.now() - began);
  }
  const report = Object.entries(counts).map(
    ([kind, { accepted, refused }]) => `${kind} ${accepted}/${accepted + refused}`,
  );
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  parentPort?.postMessage(
    `${count} inputs in ${seconds} s, at most ${slowest.toFixed(0)} ms each; accepted: ${report.join(", ")}`,
  );
}
