/** Code symbols as bytes and back: the prior gives their intervals, the range coder codes the intervals. */

import { asBytes, asQuality } from "../arguments.js";
import { InputError, kindOf } from "../errors.js";
import { COLUMNS, ESCAPE, MAX_SYMBOL, RADIUS } from "./prior.js";
import { RangeDecoder, RangeEncoder } from "./range_coder.js";

/** @typedef {import("./prior.js").Prior} Prior */

const ESCAPED = 32768; // an escaped symbol is the interval [symbol + 32768, symbol + 32769)

/**
 * Return the payload of one image's symbols; they are clipped to -32767 ... 32767.
 *
 * @param {Prior} prior
 * @param {Int32Array} symbols (latents)
 * @param {number} quality 1 to 9
 * @returns {Uint8Array}
 * @throws {InputError} if the symbols or the quality are not those of an image
 */
export function encodeSymbols(prior, symbols, quality) {
  const encoder = new RangeEncoder();
  requireSymbols(symbols, prior);
  encodeNext(prior, encoder, symbols, asQuality(quality));
  return encoder.message();
}

/**
 * Return the symbols (latents) in a payload. Bytes that no encoder wrote also decode to symbols.
 *
 * @param {Prior} prior
 * @param {Uint8Array} payload
 * @param {number} quality 1 to 9
 * @returns {Int32Array}
 * @throws {InputError} if the payload or the quality is of another type or range
 */
export function decodeSymbols(prior, payload, quality) {
  return decodeNext(prior, new RangeDecoder(asBytes(payload, "a payload")), asQuality(quality));
}

/**
 * Add an image to a message.
 *
 * @param {Prior} prior
 * @param {RangeEncoder} encoder
 * @param {Int32Array} symbols (latents), which are clipped
 * @param {number} quality 1 to 9
 */
export function encodeNext(prior, encoder, symbols, quality) {
  const clipped = symbols.map((symbol) => Math.min(Math.max(symbol, -MAX_SYMBOL), MAX_SYMBOL));
  const centres = new Int32Array(prior.latentSize);
  const rows = new Int32Array(prior.latentSize);
  for (const group of prior.groups) {
    prior.predict(group, clipped, quality, centres, rows);
    for (let latent = group.begin; latent < group.end; latent++) {
      const away = clipped[latent] - centres[latent];
      const inside = Math.abs(away) <= RADIUS;
      const at = rows[latent] * COLUMNS + (inside ? away + RADIUS : ESCAPE);
      encoder.add(prior.starts[at], prior.starts[at + 1]);
      if (!inside) {
        encoder.add(clipped[latent] + ESCAPED, clipped[latent] + ESCAPED + 1);
      }
    }
  }
}

/**
 * Return the symbols (latents) of the next image in a message. They fit into 32 bits, whatever the bytes are.
 *
 * @param {Prior} prior
 * @param {RangeDecoder} decoder
 * @param {number} quality 1 to 9
 * @returns {Int32Array}
 */
export function decodeNext(prior, decoder, quality) {
  const symbols = new Int32Array(prior.latentSize);
  const centres = new Int32Array(prior.latentSize);
  const rows = new Int32Array(prior.latentSize);
  for (const group of prior.groups) {
    prior.predict(group, symbols, quality, centres, rows);
    for (let latent = group.begin; latent < group.end; latent++) {
      const begin = rows[latent] * COLUMNS;
      const column = decoder.nextOf(prior.starts, begin, begin + ESCAPE + 1) - begin;
      symbols[latent] = column < ESCAPE ? centres[latent] + column - RADIUS : decoder.nextOfAll() - ESCAPED;
    }
  }
  return symbols;
}

/**
 * @param {Int32Array} symbols
 * @param {Prior} prior
 * @throws {InputError} if they are not those of one image
 */
export function requireSymbols(symbols, { latentSize }) {
  if (!(symbols instanceof Int32Array) || symbols.length !== latentSize) {
    const got = symbols instanceof Int32Array ? `${symbols.length} symbols` : kindOf(symbols);
    throw new InputError(`expected an Int32Array of ${latentSize} symbols, got ${got}`);
  }
}
