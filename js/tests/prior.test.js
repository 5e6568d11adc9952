/** The prior: its predictions are those of the specification's integers, and unsafe priors are refused. */

import assert from "node:assert/strict";
import test from "node:test";

import { readTensors } from "../bundle/safetensors.js";
import { COLUMNS, Prior } from "../entropy/prior.js";
import { RangeDecoder, RangeEncoder } from "../entropy/range_coder.js";
import { decodeNext, decodeSymbols, encodeNext, encodeSymbols } from "../entropy/symbol_coder.js";
import { BundleError } from "../errors.js";
import { Random } from "./random.js";
import { GOLDEN, read, readText } from "./repository.js";
import { packTensors } from "./safetensors.js";

/** @typedef {import("./safetensors.js").Plain} Plain */

const STEPS = JSON.parse(readText("fmae_edge/bundles/default/manifest.json")).qualities.steps;
const CONTENT = await read("fmae_edge/bundles/default/prior.safetensors");
const PRIOR = Prior.parse(CONTENT, 64, STEPS);
const TENSORS = Object.fromEntries(readTensors(CONTENT, "the prior"));

/**
 * Return symbols as of images, symbols unlike any image's, and the largest symbols.
 *
 * @param {Random} random
 * @param {number} latents
 */
function someSymbols(random, latents) {
  const spread = random.of([0.5, 4, 40, 2000, 100_000]);
  return Int32Array.from({ length: latents }, () => {
    const normal = random.next() + random.next() + random.next() + random.next() - 2;
    return Math.round(Math.min(Math.max(normal * spread, -32767), 32767));
  });
}

/**
 * Return [centre, row] of all latents of one image, as spec/format.md specifies them, in integers of any size.
 *
 * @param {Record<string, Plain>} tensors
 * @param {readonly number[]} steps
 * @param {Int32Array} symbols
 * @param {number} quality
 */
function referencePredictions(tensors, steps, symbols, quality) {
  const big = (/** @type {string} */ name) => Array.from(tensors[name].data, BigInt);
  const clip = (/** @type {bigint} */ value, /** @type {bigint} */ most, least = 0n) =>
    value < least ? least : value > most ? most : value;
  const step = BigInt(steps[quality - 1]);
  const widest = BigInt(tensors.tables.shape[0] / 16 - 1);
  /** @type {number[][]} */
  const found = [];
  for (let group = 0; found.length < symbols.length; group++) {
    /** @type {bigint[]} */
    let x = Array.from(symbols.subarray(0, found.length), (symbol) => clip(BigInt(symbol) * step, 2047n, -2047n));
    for (const layer of [0, 1, 2]) {
      const [weights, bias, shift] = ["weights", "bias", "shift"].map((part) =>
        big(`groups.${group}.${layer}.${part}`),
      );
      const first = layer === 0 ? (quality - 1) * shift.length : 0;
      const sums = shift.map((by, output) => {
        const sum = x.reduce(
          (sum, value, input) => sum + value * weights[input * shift.length + output],
          bias[first + output],
        );
        return sum >> by;
      });
      x = layer < 2 ? sums.map((sum) => clip(sum, 1023n)) : sums;
    }
    const size = x.length / 2;
    for (let index = 0; index < size; index++) {
      const [mean, width] = [x[index], x[size + index]];
      const floor = mean / step - (mean % step < 0n ? 1n : 0n);
      const place = floor + 8n;
      const row = 16n * clip(width - big("narrower")[quality - 1], widest) + (place & 15n);
      found.push([Number(place >> 4n), Number(row)]);
    }
  }
  return found;
}

/**
 * @param {Prior} prior
 * @param {Int32Array} symbols
 * @param {number} quality
 */
function predictions(prior, symbols, quality) {
  const [centres, rows] = [new Int32Array(prior.latentSize), new Int32Array(prior.latentSize)];
  prior.groups.forEach((group) => prior.predict(group, symbols, quality, centres, rows));
  return Array.from(centres, (centre, latent) => [centre, rows[latent]]);
}

test("predictions are those of the specification's integers", () => {
  const random = new Random(1);
  for (const quality of [1, 4, 9]) {
    const symbols = someSymbols(random, 64);
    assert.deepEqual(predictions(PRIOR, symbols, quality), referencePredictions(TENSORS, STEPS, symbols, quality));
  }
});

test("predictions are exact up to the largest sums, and with any numbers of widths", () => {
  const random = new Random(2);
  for (let run = 0; run < 200; run++) {
    const tensors = randomNetworks(random);
    const steps = Array.from({ length: 9 }, () => 1 + random.below(random.of([3, 4096])));
    const prior = Prior.parse(packTensors(tensors), 5, steps);
    const symbols = someSymbols(random, 5);
    const quality = 1 + random.below(9);
    assert.deepEqual(predictions(prior, symbols, quality), referencePredictions(tensors, steps, symbols, quality));
    const payload = random.bytes(random.below(40));
    const decoded = decodeSymbols(prior, payload, quality);
    assert.deepEqual(decoded, decodeSymbols(prior, payload, quality));
    assert.ok(decoded.every((symbol) => Math.abs(symbol) < 2 ** 21));
  }
});

/**
 * Return the tensors of a prior for 5 latents in groups of 1, 2 and 2, with sums up to 2^24.
 *
 * @param {Random} random
 * @returns {Record<string, Plain>}
 */
function randomNetworks(random) {
  const hidden = 1 + random.below(7);
  /** @param {number[]} shape @param {number} most */
  const tensor = (shape, most) => {
    const length = shape.reduce((product, side) => product * side, 1);
    return { dtype: "I32", shape, data: Int32Array.from({ length }, () => random.below(2 * most + 1) - most) };
  };
  /** @type {Record<string, Plain>} */
  const tensors = {
    tables: {
      dtype: "U16",
      shape: [32, 64],
      data: Uint16Array.from({ length: 32 * 64 }, (_, index) => (index % 64) * random.of([1000])),
    },
    narrower: tensor([9], random.of([3, 2 ** 31 - 1])),
  };
  let before = 0;
  for (const [group, size] of [1, 2, 2].entries()) {
    const shapes = [
      [before, hidden],
      [hidden, hidden],
      [hidden, 2 * size],
    ];
    for (const [layer, [inputs, outputs]] of shapes.entries()) {
      const largest = layer === 0 ? 2047 : 1023;
      const bias = random.of([10, 2 ** 22]);
      const weight = Math.floor((2 ** 24 - 1 - bias) / largest / Math.max(1, inputs));
      const name = `groups.${group}.${layer}`;
      tensors[`${name}.weights`] = tensor([inputs, outputs], weight);
      tensors[`${name}.bias`] = tensor([layer === 0 ? 9 : 1, outputs], bias);
      const shift = Int32Array.from({ length: outputs }, () => random.of([0, 0, 3, 23]));
      tensors[`${name}.shift`] = { dtype: "I32", shape: [outputs], data: shift };
    }
    before += size;
  }
  return tensors;
}

test("any symbols come back, also after others in one message", () => {
  const random = new Random(3);
  for (const prior of [PRIOR, ...Object.values(GOLDEN.priors)]) {
    for (let run = 0; run < 60; run++) {
      const quality = 1 + random.below(9);
      const [one, other] = [0, 1].map(() => someSymbols(random, prior.latentSize));
      assert.deepEqual(decodeSymbols(prior, encodeSymbols(prior, one, quality), quality), one);
      const encoder = new RangeEncoder();
      encodeNext(prior, encoder, one, quality);
      encodeNext(prior, encoder, other, quality);
      const decoder = new RangeDecoder(encoder.message());
      assert.deepEqual([decodeNext(prior, decoder, quality), decodeNext(prior, decoder, quality)], [one, other]);
    }
  }
});

test("symbols beyond 32767 are clipped", () => {
  const prior = GOLDEN.priors.network;
  const beyond = new Int32Array(8).fill(2_000_000_000);
  const clipped = new Int32Array(8).fill(32767);
  assert.deepEqual(decodeSymbols(prior, encodeSymbols(prior, beyond, 3), 3), clipped);
});

test("arguments of other types and sizes are refused", () => {
  const prior = GOLDEN.priors.network;
  for (const quality of /** @type {any[]} */ ([0, 10, 1.5, "5", null, NaN])) {
    assert.throws(() => decodeSymbols(prior, new Uint8Array(3), quality), { message: /^quality is / });
    assert.throws(() => encodeSymbols(prior, new Int32Array(8), quality), { message: /^quality is / });
  }
  for (const symbols of /** @type {any[]} */ ([new Int32Array(7), new Float32Array(8), [], null])) {
    assert.throws(() => encodeSymbols(prior, symbols, 5), { name: "InputError", message: /8 symbols, got/ });
  }
  assert.throws(() => decodeSymbols(prior, /** @type {any} */ ("abc"), 5), { name: "InputError" });
});

test("centres of tables reach the largest symbol, but not beyond", () => {
  const data = Uint16Array.from({ length: 144 * 64 }, (_, index) => (index % 64) * 1000);
  /** @param {number} centre */
  const around = (centre) => {
    const centres = { dtype: "I32", shape: [9, 16], data: new Int32Array(144).fill(centre) };
    return Prior.parse(packTensors({ tables: { dtype: "U16", shape: [144, 64], data }, centres }), 16, STEPS);
  };
  for (const sign of [1, -1]) {
    const furthest = new Int32Array(16).fill(sign * 32767);
    const payload = encodeSymbols(around(sign * 32736), furthest, 1);
    assert.ok(payload.length < 16); // no escape, which takes two bytes
    assert.deepEqual(decodeSymbols(around(sign * 32736), payload, 1), furthest);
    assert.throws(() => around(sign * 32737), { name: "BundleError", message: /needs centres/ });
  }
});

test("a prior that does not fit is refused", () => {
  const zeros = (/** @type {number[]} */ ...shape) => {
    return { dtype: "I32", shape, data: new Int32Array(shape.reduce((product, side) => product * side, 1)) };
  };
  const { tables } = TENSORS;
  /** @type {[Record<string, Plain | null>, RegExp][]} */
  const cases = [
    [{ "groups.2.0.bias": null }, /groups\.2\.0\.bias/],
    [{ narrower: zeros(8) }, /narrower/],
    [{ narrower: zeros(9, 1) }, /narrower/],
    [{ tables: null }, /tables/],
    [{ tables: { ...tables, shape: [0, 64], data: new Uint16Array(0) } }, /tables/],
    [
      { tables: { ...tables, data: tables.data.map((start, index) => (index === 5 * 64 + 9 ? 65535 : start)) } },
      /tables/,
    ],
    [{ tables: { ...tables, shape: [tables.shape[0] * 2, 32] } }, /tables/],
    [{ another: zeros(1) }, /no other tensors/],
    [{ "groups.1.2.shift": { ...TENSORS["groups.1.2.shift"], data: Int32Array.of(24, 24) } }, /shift/],
    [{ "groups.1.2.shift": { ...TENSORS["groups.1.2.shift"], data: Int32Array.of(-1, 1) } }, /shift/],
    [{ "groups.1.2.weights": zeros(4, 3) }, /groups\.1/],
    [{ "groups.1.2.weights": zeros(128, 0) }, /groups\.1/],
    [
      { "groups.3.1.bias": { ...zeros(1, 128), data: new Int32Array(128).fill(2 ** 24) } },
      /2\^24 in groups\.3\.1/,
    ],
    [
      { "groups.3.1.bias": { ...zeros(1, 128), data: new Int32Array(128).fill(-(2 ** 31)) } },
      /2\^24 in groups\.3\.1/,
    ],
  ];
  for (const [changes, sentence] of cases) {
    const entries = Object.entries({ ...TENSORS, ...changes }).filter(([, tensor]) => tensor !== null);
    const content = packTensors(/** @type {Record<string, Plain>} */ (Object.fromEntries(entries)));
    assert.throws(() => Prior.parse(content, 64, STEPS), { name: "BundleError", message: sentence });
  }
  assert.throws(() => Prior.parse(CONTENT, 63, STEPS), BundleError);
  assert.throws(() => Prior.parse(CONTENT, 65, STEPS), BundleError);
  assert.equal(PRIOR.starts.length % COLUMNS, 0);
});

test("a file that is not a safetensors file is refused", () => {
  /** @param {string} header */
  const withHeader = (header) => {
    const content = new Uint8Array(8 + header.length + 4);
    new DataView(content.buffer).setUint32(0, header.length, true);
    content.set(new TextEncoder().encode(header), 8);
    return content;
  };
  const entry = (/** @type {object} */ changes) =>
    JSON.stringify({ x: { dtype: "I8", shape: [4], data_offsets: [0, 4], ...changes } });
  assert.equal(readTensors(withHeader(entry({})), "here").get("x")?.data.length, 4);
  const headers = ["", "[]", "null", "5", "{", '{"x":null}', '{"x":5}', '{"x":[]}', `${"[".repeat(50_000)}`];
  const changes = [
    ...[{ dtype: "F64" }, { dtype: "F32", shape: [1] }, { dtype: "__proto__" }, { dtype: ["I8"] }, { shape: 4 }],
    ...[{ shape: [-4] }, { shape: [1.5] }, { shape: [2 ** 53, 2 ** 53, 0] }, { shape: null }, { shape: [5] }],
    ...[{ data_offsets: [0, 5] }, { data_offsets: [4, 0] }, { data_offsets: [0] }, { data_offsets: [0, 4, 4] }],
  ];
  for (const header of [...headers, ...changes.map(entry)]) {
    assert.throws(() => readTensors(withHeader(header), "here"), { name: "BundleError" }, header.slice(0, 100));
  }
  for (const content of [
    new Uint8Array(0),
    new Uint8Array(7),
    new Uint8Array(40).fill(255),
    CONTENT.subarray(0, 1000),
  ]) {
    assert.throws(() => readTensors(content, "here"), { name: "BundleError", message: /^here: / });
  }
});
