// Check graphs, and run those that have inputs: cases.json in the folder that is the argument lists them. For the tests
// in Python, which make the graphs and know the results.

import { readFileSync, writeFileSync } from "node:fs";

import { checkGraph, parseGraph } from "../../js/bundle/onnx_graph.js";
import { newKernels } from "../../js/engine/kernels.js";
import { Plan } from "../../js/engine/plan.js";

const folder = process.argv[2];
const read = (name) => new Uint8Array(readFileSync(`${folder}/${name}`));

async function run(number, { kind, image, latent, count }) {
  const steps = checkGraph(parseGraph(read(`${number}.onnx`)), { kind, image, latent });
  if (count > 0) {
    const plan = new Plan(await newKernels(), steps, kind);
    writeFileSync(`${folder}/${number}.result`, plan.run(read(`${number}.input`), count));
  }
}

const outcomes = [];
for (const [number, one] of JSON.parse(new TextDecoder().decode(read("cases.json"))).entries()) {
  try {
    await run(number, one);
    outcomes.push(null);
  } catch (error) {
    outcomes.push({ name: error.name, message: error.message });
  }
}
writeFileSync(`${folder}/outcomes.json`, JSON.stringify(outcomes));
