/**
 * A range coder: symbols as intervals of [0, 65536), and bytes that name a point inside all of them.
 *
 * G. N. N. Martin, "Range encoding: an algorithm for removing redundancy from a digitised message", 1979.
 * The range is in a window of 40 bits. Numbers here are below 2^48, so doubles are exact, while `>>` and `&` would
 * cut them to 32 bits. spec/format.md specifies both directions.
 */

const TOTAL = 65536;
const WINDOW = 2 ** 40;
const SETTLED = 2 ** 32; // a width below this settles the first byte of the window
const WINDOW_BYTES = 5;

/** Reads one message. Any bytes can be read; zeros follow their end. */
export class RangeDecoder {
  /** @param {Uint8Array} message */
  constructor(message) {
    this.message = message;
    this.read = 0; // bytes, with the zeros after the end
    this.width = WINDOW;
    this.above = 0; // the point, relative to the low end of the range
    while (this.read < WINDOW_BYTES) {
      this.above = this.above * 256 + this.nextByte();
    }
  }

  /** Return a number in [0, 65536), in the interval of the next symbol. */
  position() {
    // above < 2^40 and the divisor is at least 2^16, so the quotient is never rounded up to an integer
    return Math.min(Math.floor(this.above / Math.floor(this.width / TOTAL)), TOTAL - 1);
  }

  /**
   * Go past the interval [start, end), which contains `position`.
   *
   * @param {number} start
   * @param {number} end
   */
  goPast(start, end) {
    const unit = Math.floor(this.width / TOTAL);
    let width = unit * (end - start);
    let above = Math.min(this.above - unit * start, width - 1);
    while (width < SETTLED) {
      width *= 256;
      above = above * 256 + this.nextByte();
    }
    this.width = width;
    this.above = above;
  }

  /**
   * Return the index in starts[begin] to starts[end - 1] of the next symbol's interval, and go past it. An
   * interval ends at the next of `starts`, which increase.
   *
   * @param {ArrayLike<number>} starts
   * @param {number} begin
   * @param {number} end
   */
  nextOf(starts, begin, end) {
    const position = this.position();
    let first = begin;
    let last = end - 1;
    while (first < last) {
      const middle = (first + last + 1) >> 1;
      if (starts[middle] <= position) {
        first = middle;
      } else {
        last = middle - 1;
      }
    }
    this.goPast(starts[first], starts[first + 1]);
    return first;
  }

  /** Return the next symbol of a uniform distribution over [0, 65536), and go past it. */
  nextOfAll() {
    const position = this.position();
    this.goPast(position, position + 1);
    return position;
  }

  /** The most bytes that a writer's message has if it ends after the last symbol. */
  get mostBytes() {
    return this.read - WINDOW_BYTES + 1;
  }

  nextByte() {
    const at = this.read++;
    return at < this.message.length ? this.message[at] : 0;
  }
}

/** Writes one message. `copy` gives a message several continuations. */
export class RangeEncoder {
  constructor() {
    this.low = 0; // within the window
    this.width = WINDOW;
    /** @type {number[]} */
    this.shifted = []; // bytes before the window, except for a carry
  }

  /** Return the same message so far. */
  copy() {
    const copied = new RangeEncoder();
    copied.low = this.low;
    copied.width = this.width;
    copied.shifted = this.shifted.slice();
    return copied;
  }

  /**
   * Add the interval [start, end) of [0, 65536).
   *
   * @param {number} start
   * @param {number} end
   */
  add(start, end) {
    const unit = Math.floor(this.width / TOTAL);
    this.low += unit * start;
    this.width = unit * (end - start);
    if (this.low >= WINDOW) {
      this.low -= WINDOW;
      carry(this.shifted);
    }
    while (this.width < SETTLED) {
      this.shifted.push(Math.floor(this.low / SETTLED));
      this.low = (this.low % SETTLED) * 256;
      this.width *= 256;
    }
  }

  /** Return the bytes of the message if it ends here. */
  message() {
    const bytes = this.shifted.slice();
    if (this.low > 0 && this.low + this.width > WINDOW) {
      carry(bytes); // the point is the next multiple of 2^40, and zeros follow it
    } else {
      bytes.push(Math.ceil(this.low / SETTLED));
    }
    let length = bytes.length;
    while (length > 0 && bytes[length - 1] === 0) {
      length--;
    }
    return Uint8Array.from(bytes.slice(0, length));
  }
}

/**
 * Add 1 to a number in bytes, the highest first. It does not overflow: the range never leaves its first window.
 *
 * @param {number[]} bytes
 */
function carry(bytes) {
  let at = bytes.length - 1;
  while (bytes[at] === 255) {
    bytes[at--] = 0;
  }
  bytes[at]++;
}
