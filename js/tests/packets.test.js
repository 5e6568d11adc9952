/** Packets: any of a set can be read alone, and packets of another set are refused. */

import assert from "node:assert/strict";
import test from "node:test";

import { addImage, endStream } from "../entropy/image_stream.js";
import { COLUMNS, ESCAPE, RADIUS } from "../entropy/prior.js";
import { packPacket, parsePacket } from "../format/packet.js";
import { PacketSet } from "../format/packet_set.js";
import { writePackets } from "../format/packet_writer.js";
import { Random } from "./random.js";
import { GOLDEN } from "./repository.js";

/** @typedef {import("../entropy/image_stream.js").CodedImage} CodedImage */

const { bundleId: BUNDLE, latents: LATENTS } = GOLDEN;
const PRIOR = GOLDEN.priors.network;

/**
 * @param {number} count
 * @param {number[]} [qualities]
 * @returns {CodedImage[]}
 */
function someImages(count, qualities = [5]) {
  const random = new Random(count);
  return Array.from({ length: count }, () => ({
    quality: random.of(qualities),
    symbols: Int32Array.from({ length: LATENTS }, () => random.below(9) - 4),
  }));
}

/** Return the most likely symbols of an image at quality 9, which take few bits. */
function likelySymbols() {
  const symbols = new Int32Array(LATENTS);
  const [centres, rows] = [new Int32Array(LATENTS), new Int32Array(LATENTS)];
  for (const group of PRIOR.groups) {
    PRIOR.predict(group, symbols, 9, centres, rows);
    for (let latent = group.begin; latent < group.end; latent++) {
      const starts = PRIOR.starts.subarray(rows[latent] * COLUMNS, (rows[latent] + 1) * COLUMNS);
      const sizes = Array.from(starts.subarray(1), (end, column) => end - starts[column]);
      symbols[latent] = centres[latent] + sizes.indexOf(Math.max(...sizes.slice(0, ESCAPE))) - RADIUS;
    }
  }
  return symbols;
}

/** @param {Uint8Array[]} packets */
function read(packets) {
  const set = new PacketSet();
  packets.forEach((packet) => set.add(parsePacket(packet, BUNDLE, PRIOR)));
  return set;
}

test("images come back from packets in any order, also twice", () => {
  for (const [count, size, qualities] of /** @type {[number, number, number[]][]} */ ([
    [1, 16, [5]],
    [40, 51, [5]],
    [300, 1024, [1, 4, 9]],
    [4096, 255, [5]],
  ])) {
    const images = someImages(count, qualities);
    const packets = writePackets(PRIOR, BUNDLE, images, size, { ownQualities: qualities.length > 1 });
    assert.ok(packets.every((packet) => packet.length <= size));
    const set = read([...packets.slice().reverse(), packets[0]]);
    assert.deepEqual([set.total, set.missing], [count, []]);
    assert.deepEqual(
      set.numbers,
      Array.from({ length: count }, (_, number) => number),
    );
    images.forEach((image, number) => assert.deepEqual(set.images.get(number), image));
  }
  assert.deepEqual(writePackets(PRIOR, BUNDLE, [], 51), []);
});

test("a packet has as many images as fit", () => {
  const images = someImages(60);
  const packets = writePackets(PRIOR, BUNDLE, images, 51);
  const counts = packets.map((packet) => parsePacket(packet, BUNDLE, PRIOR).images.length);
  let first = 0;
  for (const count of counts.slice(0, -1)) {
    let message = null;
    for (const image of images.slice(first, first + count + 1)) {
      message = addImage(message, PRIOR, image, false);
    }
    assert.ok(message !== null && endStream(message, false).length > 51 - 4);
    first += count;
  }
});

test("a packet has at most 255 images", () => {
  const images = Array.from({ length: 300 }, () => ({ quality: 9, symbols: likelySymbols() }));
  const [first] = writePackets(PRIOR, BUNDLE, images, 1024);
  assert.equal(parsePacket(first, BUNDLE, PRIOR).images.length, 255);
});

test("without the last packet the total is not known, and missing images are", () => {
  const packets = writePackets(PRIOR, BUNDLE, someImages(30), 40);
  assert.ok(packets.length > 3);
  const second = parsePacket(packets[1], BUNDLE, PRIOR);
  const lost = read(packets.filter((_, index) => index !== 1));
  assert.deepEqual([lost.total, lost.missing], [30, second.images.map((_, index) => second.first + index)]);
  assert.equal(read(packets.slice(0, -1)).total, null);
});

test("packets of another set are refused, and none of their images is added", () => {
  const set = read(writePackets(PRIOR, BUNDLE, someImages(30), 40));
  const numbers = set.numbers.length;
  for (const other of [
    writePackets(PRIOR, BUNDLE, someImages(31), 40)[0],
    writePackets(PRIOR, BUNDLE, someImages(40), 40)[9],
  ]) {
    const packet = parsePacket(other, BUNDLE, PRIOR);
    assert.throws(() => set.add(packet), { name: "InputError", message: /^is of another set/ });
  }
  const [image] = someImages(1);
  /** @type {[number, boolean, RegExp][]} */
  const cases = [
    [30, false, /it has images 30 to 30, and they have 30$/],
    [28, true, /it has images 28 to 28, the last ones, and they have 30$/],
    [31, true, /it has images 31 to 31, the last ones, and they have 30$/],
  ];
  for (const [first, endsSet, message] of cases) {
    const packet = { bundleId: BUNDLE, first, images: [image], endsSet, packetBytes: 10 };
    assert.throws(() => set.add(packet), { name: "InputError", message });
  }
  assert.equal(set.numbers.length, numbers);
});

test("what a reader refuses has its own sentence", () => {
  const [image] = someImages(1);
  const message = endStream(addImage(null, PRIOR, image, false), true);
  const longer = Uint8Array.of(...message, 1, 1, 1);
  let many = addImage(null, PRIOR, { quality: 9, symbols: likelySymbols() }, false);
  for (let count = 1; count < 256; count++) {
    many = addImage(many, PRIOR, { quality: 9, symbols: likelySymbols() }, false);
  }
  /** @type {[Uint8Array, RegExp][]} */
  const cases = [
    [new Uint8Array(3), /^has 3 bytes; a packet has at least 4$/],
    [new Uint8Array(1025), /^has 1025 bytes; a packet has at most 1024$/],
    [new Uint8Array(50), /^its check code does not match/],
    [packPacket({ first: 0, quality: 10, message }, BUNDLE), /^corrupted: its quality is 10/],
    [
      packPacket({ first: 0, quality: 5, message: longer }, BUNDLE),
      /^corrupted: it has bytes after its last image$/,
    ],
    [packPacket({ first: 4095, quality: 5, message: Uint8Array.of(255, 255) }, BUNDLE), /more than 1 images$/],
    [packPacket({ first: 0, quality: 9, message: endStream(many, false) }, BUNDLE), /more than 255 images$/],
  ];
  for (const [content, sentence] of cases) {
    assert.throws(() => parsePacket(content, BUNDLE, PRIOR), { name: "InputError", message: sentence });
  }
  assert.ok(parsePacket(packPacket({ first: 4095, quality: 5, message }, BUNDLE), BUNDLE, PRIOR).endsSet);
  assert.throws(() => parsePacket(/** @type {any} */ (null), BUNDLE, PRIOR), { name: "InputError" });
});

test("arguments that are out of range are refused", () => {
  const images = someImages(2);
  for (const size of /** @type {any[]} */ ([15, 1025, 50.5, "50", null])) {
    assert.throws(() => writePackets(PRIOR, BUNDLE, images, size), { message: /^packetBytes is / });
  }
  assert.throws(() => writePackets(PRIOR, BUNDLE, someImages(4097), 100), { message: /at most 4096 images/ });
  assert.throws(() => writePackets(PRIOR, BUNDLE, [{ ...images[0], quality: 0 }], 100), {
    message: /^quality is 0/,
  });
  const mixed = [images[0], { ...images[1], quality: 3 }];
  assert.throws(() => writePackets(PRIOR, BUNDLE, mixed, 100), { message: /use ownQualities/ });
  const large = [{ quality: 5, symbols: new Int32Array(LATENTS).fill(32767) }];
  assert.throws(() => writePackets(PRIOR, BUNDLE, large, 16), { message: /^image 0: packetBytes is 16, but/ });
});
