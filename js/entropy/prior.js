/**
 * The prior: the probabilities of an image's next symbols, computed with integers only.
 *
 * A distribution is a row of a table of integers, and a network of integers may choose the row, so sender and
 * receiver agree on every probability to the last bit. spec/format.md and spec/bundle.md specify it.
 */

import { readTensors } from "../bundle/safetensors.js";
import { BundleError } from "../errors.js";
import { PriorNetwork } from "./prior_network.js";

/** @typedef {import("../bundle/safetensors.js").Tensor} Tensor */

/** The columns of a table are the symbols from RADIUS below a centre to RADIUS above it, and the escape. */
export const RADIUS = 31;
export const ESCAPE = 2 * RADIUS + 1;
/** Of a row in `starts`: those of its intervals, and the end of the last one. */
export const COLUMNS = ESCAPE + 2;
export const MAX_SYMBOL = 32767;
const TOTAL = 65536;
const FRACTIONS = 16; // places of a distribution's mean between two symbols
const TENSORS_PER_GROUP = 9; // weights, bias and shift of three layers

/**
 * A group of latents whose distributions depend only on the latents before `begin`.
 *
 * @typedef {object} Group
 * @property {number} begin number of its first latent
 * @property {number} end one more than the number of its last latent
 * @property {PriorNetwork | null} network null if the distributions are those in `centres`
 */

/** Predicts a distribution for each latent: the centre, and the row of `starts` with its intervals. */
export class Prior {
  /**
   * @param {number} latentSize
   * @param {readonly number[]} steps the quantiser step of each quality, in units
   * @param {Int32Array} starts (rows, COLUMNS): where each interval starts, and 65536
   * @param {Group[]} groups in the order in which they are coded
   * @param {readonly number[]} narrower widths to subtract at each quality; not used without networks
   * @param {Int32Array} centres (9, latentSize); empty with networks
   */
  constructor(latentSize, steps, starts, groups, narrower, centres) {
    this.latentSize = latentSize;
    this.steps = steps;
    this.starts = starts;
    this.groups = groups;
    this.narrower = narrower;
    this.centres = centres;
  }

  /**
   * Return the prior in the bytes of a bundle's prior.safetensors.
   *
   * @param {Uint8Array} content
   * @param {number} latentSize
   * @param {readonly number[]} steps the nine integers in `qualities.steps` of the manifest
   * @param {string} [where] names the file in messages
   * @returns {Prior}
   * @throws {BundleError} if the tables or networks do not fit `latentSize`, or if sums could reach 2^24
   */
  static parse(content, latentSize, steps, where = "prior.safetensors") {
    const tensors = readTensors(content, where);
    /** @param {string} name @returns {Tensor} */
    const take = (name) => {
      const tensor = tensors.get(name);
      need(tensor !== undefined, name);
      tensors.delete(name);
      return /** @type {Tensor} */ (tensor);
    };
    /** @param {unknown} holds @param {string} what */
    const need = (holds, what) => {
      if (!holds) {
        throw new BundleError(`${where}: not the prior of this bundle (it needs ${what})`);
      }
    };
    const starts = readTables(take("tables"), need);
    const rows = starts.length / COLUMNS;
    if (tensors.has("centres")) {
      const { shape, data } = take("centres");
      need(shape.length === 2 && shape[0] === steps.length && shape[1] === latentSize, "centres");
      need(data.length === rows && data.every((centre) => Math.abs(centre) <= MAX_SYMBOL - RADIUS), "centres");
      need(tensors.size === 0, `no ${[...tensors.keys()].join(", ").slice(0, 200)}`);
      const all = { begin: 0, end: latentSize, network: null };
      return new Prior(latentSize, steps, starts, [all], [], Int32Array.from(data));
    }
    const narrower = take("narrower");
    need(narrower.shape.length === 1 && narrower.data.length === steps.length, "narrower");
    need(rows % FRACTIONS === 0, "tables");
    const groups = [];
    for (let begin = 0; begin < latentSize; begin = groups[groups.length - 1].end) {
      const network = PriorNetwork.read(tensors, `groups.${groups.length}`, begin, steps.length, need);
      const end = begin + network.size;
      need(network.size >= 1 && end <= latentSize, `groups.${groups.length}.2.weights`);
      groups.push({ begin, end, network });
    }
    need(tensors.size === groups.length * TENSORS_PER_GROUP, "no other tensors");
    return new Prior(latentSize, steps, starts, groups, [...narrower.data], new Int32Array(0));
  }

  /**
   * Write the centre and the row in `starts` of each latent of `group`, at its number in both arrays.
   *
   * @param {Group} group
   * @param {Int32Array} symbols (latentSize); only those of latents before the group are used
   * @param {number} quality 1 to 9
   * @param {Int32Array} centres (latentSize)
   * @param {Int32Array} rows (latentSize)
   */
  predict(group, symbols, quality, centres, rows) {
    const { begin, end, network } = group;
    if (network === null) {
      const first = (quality - 1) * this.latentSize;
      for (let latent = begin; latent < end; latent++) {
        centres[latent] = this.centres[first + latent];
        rows[latent] = first + latent;
      }
      return;
    }
    const step = this.steps[quality - 1];
    const narrower = this.narrower[quality - 1];
    const widest = this.starts.length / COLUMNS / FRACTIONS - 1;
    const answers = network.answers(symbols, step, quality);
    const size = end - begin;
    for (let index = 0; index < size; index++) {
      // |mean| is below 2^24 and step at most 4096, so the quotient is never rounded to an integer above it
      const place = Math.floor(answers[index] / step) + FRACTIONS / 2;
      const width = Math.min(Math.max(answers[size + index] - narrower, 0), widest);
      centres[begin + index] = place >> 4;
      rows[begin + index] = width * FRACTIONS + (place & (FRACTIONS - 1));
    }
  }
}

/**
 * @param {Tensor} tables
 * @param {(holds: unknown, what: string) => void} need
 * @returns {Int32Array} (rows, COLUMNS)
 */
function readTables({ dtype, shape, data }, need) {
  need(dtype === "U16" && shape.length === 2 && shape[1] === ESCAPE + 1 && shape[0] >= FRACTIONS, "tables");
  const starts = new Int32Array(shape[0] * COLUMNS);
  for (let row = 0; row < shape[0]; row++) {
    const first = row * COLUMNS;
    starts.set(data.subarray(row * shape[1], (row + 1) * shape[1]), first);
    starts[first + COLUMNS - 1] = TOTAL;
    let increases = starts[first] === 0;
    for (let column = 1; column < COLUMNS; column++) {
      increases &&= starts[first + column] > starts[first + column - 1];
    }
    need(increases, "tables");
  }
  return starts;
}
