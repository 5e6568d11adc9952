/** Collect the images in packets of one set: any packets, in any order. */

import { InputError } from "../errors.js";

/** @typedef {import("./packet.js").Packet} Packet */
/** @typedef {import("./packet.js").CodedImage} CodedImage */

/** The images in the packets of one set; packets may be missing, or come twice. */
export class PacketSet {
  constructor() {
    /** @type {Map<number, CodedImage>} */
    this.images = new Map();
    /** The number of images in the set, null if the last packet is missing, because only that one says it. */
    this.total = /** @type {number | null} */ (null);
    this.known = 0; // images: one more than the last number
  }

  /**
   * Add the images of a packet, and return the numbers of those that are new.
   *
   * @param {Packet} packet
   * @returns {number[]}
   * @throws {InputError} if it is of another set than those before it; then none of its images is added
   */
  add({ first, images, endsSet }) {
    const end = first + images.length;
    const known = Math.max(end, this.known);
    const total = endsSet ? end : this.total;
    if (total !== null && (known > total || (this.total !== null && this.total !== total))) {
      throw new InputError(
        `is of another set than the packets before it: it has images ${first} to ${end - 1}` +
          `${endsSet ? ", the last ones" : ""}, and they have ${this.known}`,
      );
    }
    const added = [];
    for (const [index, image] of images.entries()) {
      const before = this.images.get(first + index);
      if (before === undefined) {
        added.push(first + index);
      } else if (!isSame(before, image)) {
        throw new InputError(
          `is of another set than the packets before it: they have a different image ${first + index}`,
        );
      }
    }
    added.forEach((number) => this.images.set(number, images[number - first]));
    this.known = known;
    this.total = total;
    return added;
  }

  /** The numbers of the images, from 0, in order. */
  get numbers() {
    return [...this.images.keys()].sort((a, b) => a - b);
  }

  /** The numbers of the images that no packet has, up to the last that is known to exist. */
  get missing() {
    return Array.from({ length: this.known }, (_, number) => number).filter((number) => !this.images.has(number));
  }
}

/**
 * @param {CodedImage} one
 * @param {CodedImage} other
 */
function isSame(one, other) {
  return one.quality === other.quality && one.symbols.every((symbol, latent) => symbol === other.symbols[latent]);
}
