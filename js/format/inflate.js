/**
 * Decompress deflate streams (RFC 1951), with a limit. It refuses the same streams as zlib: the RFC leaves open
 * which sets of code lengths are valid.
 *
 * A browser's own DecompressionStream cannot stop after a number of bytes and is asynchronous.
 */

const MAX_BITS = 15;
const LITERALS = 286; // and lengths; 286 and 287 are not used
const DISTANCES = 30;
const END = 256;
const MAX_DISTANCE = 32768;
const LENGTH_EXTRA = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const LENGTH_BASE = bases(LENGTH_EXTRA, 3);
LENGTH_BASE[28] = 258; // instead of 259, which 227 with 5 extra bits would reach
const DISTANCE_EXTRA = Array.from({ length: DISTANCES }, (_, code) => Math.max(0, (code >> 1) - 1));
const DISTANCE_BASE = bases(DISTANCE_EXTRA, 1);
const LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/**
 * @param {number[]} extra bits of each code
 * @param {number} first
 */
function bases(extra, first) {
  let next = first;
  return extra.map((bits) => {
    const base = next;
    next += 1 << bits;
    return base;
  });
}

/** A stream that ends too early, or is damaged. */
class Damaged extends Error {}

/**
 * Return the bytes of a deflate stream that has exactly `length`, null if it is not such a stream.
 *
 * @param {Uint8Array} content
 * @param {number} length
 * @returns {Uint8Array | null}
 */
export function inflate(content, length) {
  const reader = new Inflater(content, length);
  try {
    reader.run();
  } catch (error) {
    if (error instanceof Damaged) {
      return null;
    }
    throw error;
  }
  return reader.written === length && reader.at === content.length ? reader.result : null;
}

/**
 * How many codes have each length, and the symbols in the order of the codes.
 * @typedef {{ counts: Uint16Array, symbols: Uint16Array }} Codes
 */

class Inflater {
  /**
   * @param {Uint8Array} content
   * @param {number} length of the result
   */
  constructor(content, length) {
    this.content = content;
    this.at = 0;
    this.held = 0; // bits that are read from the content, but not used
    this.heldBits = 0;
    this.result = new Uint8Array(length);
    this.written = 0;
  }

  run() {
    let last = 0;
    while (!last) {
      last = this.bits(1);
      const kind = this.bits(2);
      if (kind === 0) {
        this.stored();
      } else if (kind === 1) {
        this.compressed(FIXED_LITERALS, FIXED_DISTANCES);
      } else if (kind === 2) {
        this.dynamic();
      } else {
        throw new Damaged();
      }
    }
  }

  /** @param {number} count 0 to 16 */
  bits(count) {
    while (this.heldBits < count) {
      if (this.at === this.content.length) {
        throw new Damaged();
      }
      this.held |= this.content[this.at++] << this.heldBits;
      this.heldBits += 8;
    }
    const value = this.held & ((1 << count) - 1);
    this.held >>>= count;
    this.heldBits -= count;
    return value;
  }

  stored() {
    this.held = 0;
    this.heldBits = 0; // at most 7 bits were held: those up to the next byte
    const size = this.bits(16);
    if (this.bits(16) !== (size ^ 0xffff) || size > this.content.length - this.at) {
      throw new Damaged();
    }
    this.requireRoom(size);
    this.result.set(this.content.subarray(this.at, this.at + size), this.written);
    this.at += size;
    this.written += size;
  }

  dynamic() {
    const literals = this.bits(5) + 257;
    const distances = this.bits(5) + 1;
    const count = this.bits(4) + 4;
    if (literals > LITERALS || distances > DISTANCES) {
      throw new Damaged();
    }
    const ordered = new Uint8Array(LENGTH_ORDER.length);
    for (let index = 0; index < count; index++) {
      ordered[LENGTH_ORDER[index]] = this.bits(3);
    }
    const codes = codesOf(ordered, false);
    const lengths = new Uint8Array(literals + distances);
    for (let index = 0; index < lengths.length;) {
      const symbol = this.symbol(codes);
      if (symbol < 16) {
        lengths[index++] = symbol;
        continue;
      }
      if (symbol === 16 && index === 0) {
        throw new Damaged();
      }
      const length = symbol === 16 ? lengths[index - 1] : 0;
      const times = symbol === 16 ? 3 + this.bits(2) : symbol === 17 ? 3 + this.bits(3) : 11 + this.bits(7);
      if (times > lengths.length - index) {
        throw new Damaged();
      }
      lengths.fill(length, index, index + times);
      index += times;
    }
    if (lengths[END] === 0) {
      throw new Damaged();
    }
    this.compressed(codesOf(lengths.subarray(0, literals), true), codesOf(lengths.subarray(literals), true));
  }

  /**
   * @param {Codes} literals
   * @param {Codes} distances
   */
  compressed(literals, distances) {
    for (;;) {
      const symbol = this.symbol(literals);
      if (symbol === END) {
        return;
      }
      if (symbol < END) {
        this.requireRoom(1);
        this.result[this.written++] = symbol;
        continue;
      }
      if (symbol >= LITERALS) {
        throw new Damaged();
      }
      const size = LENGTH_BASE[symbol - END - 1] + this.bits(LENGTH_EXTRA[symbol - END - 1]);
      const code = this.symbol(distances);
      if (code >= DISTANCES) {
        throw new Damaged();
      }
      const distance = DISTANCE_BASE[code] + this.bits(DISTANCE_EXTRA[code]);
      if (distance > Math.min(this.written, MAX_DISTANCE)) {
        throw new Damaged();
      }
      this.requireRoom(size);
      for (let end = this.written + size; this.written < end; this.written++) {
        this.result[this.written] = this.result[this.written - distance];
      }
    }
  }

  /**
   * Return the next symbol: the codes of each length are consecutive numbers, in the order of their symbols.
   *
   * @param {Codes} codes
   */
  symbol({ counts, symbols }) {
    let code = 0;
    let first = 0;
    let before = 0;
    for (let bits = 1; bits <= MAX_BITS; bits++) {
      code |= this.bits(1);
      const count = counts[bits];
      if (code - first < count) {
        return symbols[before + code - first];
      }
      before += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    throw new Damaged();
  }

  /** @param {number} bytes */
  requireRoom(bytes) {
    if (bytes > this.result.length - this.written) {
      throw new Damaged();
    }
  }
}

/**
 * @param {Uint8Array} lengths the bits of each symbol's code, 0 if it has none
 * @param {boolean} mayLack whether a single code of one bit, or no code, is allowed
 * @returns {Codes}
 */
function codesOf(lengths, mayLack) {
  const counts = new Uint16Array(MAX_BITS + 1);
  lengths.forEach((bits) => counts[bits]++);
  counts[0] = 0;
  let left = 1;
  for (let bits = 1; bits <= MAX_BITS; bits++) {
    left = 2 * left - counts[bits];
    if (left < 0) {
      throw new Damaged();
    }
  }
  const used = counts.reduce((sum, count) => sum + count, 0);
  if (left > 0 && !(mayLack && used === counts[1])) {
    throw new Damaged();
  }
  const ends = new Uint16Array(MAX_BITS + 2);
  for (let bits = 1; bits <= MAX_BITS; bits++) {
    ends[bits + 1] = ends[bits] + counts[bits];
  }
  const symbols = new Uint16Array(used);
  lengths.forEach((bits, symbol) => bits && (symbols[ends[bits]++] = symbol));
  return { counts, symbols };
}

const FIXED_LITERALS = codesOf(
  Uint8Array.from({ length: 288 }, (_, symbol) => (symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8)),
  false,
);
const FIXED_DISTANCES = codesOf(new Uint8Array(32).fill(5), false);
