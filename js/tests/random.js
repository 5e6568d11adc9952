/** Random numbers from a seed, so that a failing test or a failing fuzz run can be repeated. */

export class Random {
  /** @param {number} seed */
  constructor(seed) {
    this.state = seed >>> 0;
  }

  /** Return a number from 0 to below 1: mulberry32, by Tommy Ettinger. */
  next() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /**
   * Return an integer from 0 to below `end`.
   *
   * @param {number} end
   */
  below(end) {
    return Math.floor(this.next() * end);
  }

  /**
   * Return one of some items.
   *
   * @template Item
   * @param {readonly Item[]} items
   * @returns {Item}
   */
  of(items) {
    return items[this.below(items.length)];
  }

  /**
   * Return random bytes.
   *
   * @param {number} length
   */
  bytes(length) {
    return Uint8Array.from({ length }, () => this.below(256));
  }
}
