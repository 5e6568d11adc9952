/**
 * Decompress LZMA streams without a header, with lc = lp = pb = 0, an end marker and a limit.
 *
 * The LZMA SDK's LzmaSpec.cpp specifies the stream. `lc`, `lp` and `pb` are the bits of the byte before, and of
 * the place in the stream, that choose a probability: with 0, there is one set for all.
 */

const HALF = 1024; // of 2048: the first probability of a zero bit
const STATES = 12;
const LITERAL_STATES = 7; // below: the last step was a literal
const MIN_LENGTH = 2;
const ALIGN_BITS = 4;
const END_MARKER = 0xffffffff;

/** A stream that ends too early, or is damaged. */
class Damaged extends Error {}

/**
 * Return the bytes of an LZMA stream that has exactly `length`, null if it is not such a stream.
 *
 * @param {Uint8Array} content
 * @param {number} length
 * @returns {Uint8Array | null}
 */
export function unpackLzma(content, length) {
  try {
    const bits = new BitReader(content);
    const result = unpack(bits, length);
    return result.length === length && bits.code === 0 && bits.at === content.length ? result : null;
  } catch (error) {
    if (error instanceof Damaged) {
      return null;
    }
    throw error;
  }
}

/** The range decoder of LZMA, whose probabilities follow the bits. */
class BitReader {
  /** @param {Uint8Array} content */
  constructor(content) {
    this.content = content;
    this.at = 0;
    this.range = 0xffffffff;
    this.code = 0;
    if (this.nextByte() !== 0) {
      throw new Damaged();
    }
    for (let index = 0; index < 4; index++) {
      this.code = ((this.code << 8) | this.nextByte()) >>> 0;
    }
  }

  nextByte() {
    if (this.at === this.content.length) {
      throw new Damaged();
    }
    return this.content[this.at++];
  }

  normalise() {
    if (this.range < 2 ** 24) {
      this.range = (this.range << 8) >>> 0;
      this.code = ((this.code << 8) | this.nextByte()) >>> 0;
    }
  }

  /**
   * @param {Uint16Array} probabilities
   * @param {number} index
   */
  bit(probabilities, index) {
    const probability = probabilities[index];
    const bound = (this.range >>> 11) * probability;
    const bit = this.code >= bound ? 1 : 0;
    if (bit) {
      this.code -= bound;
      this.range -= bound;
      probabilities[index] = probability - (probability >> 5);
    } else {
      this.range = bound;
      probabilities[index] = probability + ((2048 - probability) >> 5);
    }
    this.normalise();
    return bit;
  }

  /**
   * Read `count` bits of equal probability, the highest first.
   *
   * @param {number} count
   */
  direct(count) {
    let value = 0;
    for (let index = 0; index < count; index++) {
      this.range >>>= 1;
      const rest = (this.code - this.range) >>> 0;
      const bit = rest < 2 ** 31 ? 1 : 0;
      this.code = bit ? rest : this.code;
      value = value * 2 + bit;
      this.normalise();
    }
    return value;
  }

  /**
   * Read `count` bits, the highest first; those before a bit choose its probability.
   *
   * @param {Uint16Array} probabilities
   * @param {number} first
   * @param {number} count
   */
  tree(probabilities, first, count) {
    let node = 1;
    for (let index = 0; index < count; index++) {
      node = node * 2 + this.bit(probabilities, first + node);
    }
    return node - 2 ** count;
  }

  /**
   * Read `count` bits, the lowest first.
   *
   * @param {Uint16Array} probabilities
   * @param {number} first
   * @param {number} count
   */
  reverseTree(probabilities, first, count) {
    let node = 1;
    let value = 0;
    for (let index = 0; index < count; index++) {
      const bit = this.bit(probabilities, first + node);
      node = node * 2 + bit;
      value |= bit << index;
    }
    return value;
  }
}

/** Reads the length of a match. */
class LengthReader {
  constructor() {
    this.choice = halves(2);
    this.low = halves(8);
    this.middle = halves(8);
    this.high = halves(256);
  }

  /** @param {BitReader} bits */
  read(bits) {
    if (!bits.bit(this.choice, 0)) {
      return bits.tree(this.low, 0, 3);
    }
    return bits.bit(this.choice, 1) ? 16 + bits.tree(this.high, 0, 8) : 8 + bits.tree(this.middle, 0, 3);
  }
}

/** @param {number} count */
function halves(count) {
  return new Uint16Array(count).fill(HALF);
}

/** Reads the distance of a match, minus 1. */
class DistanceReader {
  constructor() {
    this.slots = Array.from({ length: 4 }, () => halves(64));
    this.low = halves(115);
    this.align = halves(1 << ALIGN_BITS);
  }

  /**
   * @param {BitReader} bits
   * @param {number} length of the match, above the shortest
   */
  read(bits, length) {
    const slot = bits.tree(this.slots[Math.min(length, 3)], 0, 6);
    if (slot < 4) {
      return slot;
    }
    const count = (slot >> 1) - 1;
    const base = (2 + (slot & 1)) * 2 ** count;
    if (slot < 14) {
      return base + bits.reverseTree(this.low, base - slot, count);
    }
    const high = bits.direct(count - ALIGN_BITS) * 2 ** ALIGN_BITS;
    return base + high + bits.reverseTree(this.align, 0, ALIGN_BITS);
  }
}

/**
 * @param {BitReader} bits
 * @param {number} length
 * @returns {Uint8Array} shorter than `length` if the stream is
 */
function unpack(bits, length) {
  const [isMatch, isRepeat, isOlder, isLong, isThird, isFourth] = Array.from({ length: 6 }, () => halves(STATES));
  const literals = halves(0x300);
  const [matchLengths, repeatLengths] = [new LengthReader(), new LengthReader()];
  const distances = new DistanceReader();
  const result = new Uint8Array(length);
  const recent = [0, 0, 0, 0]; // the last distances, minus 1, the latest first
  let written = 0;
  let state = 0;
  for (;;) {
    const literal = state < LITERAL_STATES;
    if (!bits.bit(isMatch, state)) {
      requireRoom(result, written, 1);
      result[written] = readLiteral(bits, literals, literal ? null : result[written - recent[0] - 1]);
      written++;
      state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
      continue;
    }
    let size = 1;
    if (!bits.bit(isRepeat, state)) {
      const above = matchLengths.read(bits);
      recent.unshift(distances.read(bits, above));
      recent.pop();
      if (recent[0] === END_MARKER) {
        return result.subarray(0, written);
      }
      size = MIN_LENGTH + above;
      state = literal ? 7 : 10;
    } else {
      let age = 0;
      let long = true;
      if (!bits.bit(isOlder, state)) {
        long = bits.bit(isLong, state) === 1;
      } else if (!bits.bit(isThird, state)) {
        age = 1;
      } else {
        age = 2 + bits.bit(isFourth, state);
      }
      recent.unshift(...recent.splice(age, 1));
      size = long ? MIN_LENGTH + repeatLengths.read(bits) : 1;
      state = literal ? (long ? 8 : 9) : 11;
    }
    const distance = recent[0] + 1;
    if (distance > written) {
      throw new Damaged();
    }
    requireRoom(result, written, size);
    for (let end = written + size; written < end; written++) {
      result[written] = result[written - distance];
    }
  }
}

/**
 * @param {BitReader} bits
 * @param {Uint16Array} probabilities
 * @param {number | null} matched the byte at the last distance if the last step was a match
 */
function readLiteral(bits, probabilities, matched) {
  let symbol = 1;
  if (matched !== null) {
    for (let place = 7; place >= 0; place--) {
      const expected = (matched >> place) & 1;
      const bit = bits.bit(probabilities, ((1 + expected) << 8) + symbol);
      symbol = symbol * 2 + bit;
      if (bit !== expected) {
        break;
      }
    }
  }
  while (symbol < 256) {
    symbol = symbol * 2 + bits.bit(probabilities, symbol);
  }
  return symbol - 256;
}

/**
 * @param {Uint8Array} result
 * @param {number} written
 * @param {number} size
 */
function requireRoom(result, written, size) {
  if (size > result.length - written) {
    throw new Damaged();
  }
}
