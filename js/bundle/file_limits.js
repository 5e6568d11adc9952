/** The largest size that each file of a bundle may have: no larger than images of the bundle's size justify. */

import { BundleError } from "../errors.js";
import { GOLDEN_NAME, GRAPH_NAMES, PRIOR_NAME } from "./manifest.js";

/** @import { Manifest } from "./manifest.js" */

const MAX_FILES = 16;
const MAX_BUNDLE_BYTES = 256 * 2 ** 20;
// Of a file that this version does not know, and of a graph in addition to its weights
const OTHER_BYTES = 2 ** 20;
const PRIOR_BYTES_PER_LATENT = 4096;
const GOLDEN_IMAGES = 64;

/**
 * @param {Manifest} manifest
 * @param {string} where names the bundle in messages
 * @throws {BundleError} if the bundle has too many files, or larger ones than images of its size justify
 */
export function requireReasonableSizes(manifest, where) {
  const { files } = manifest;
  if (files.size > MAX_FILES) {
    throw new BundleError(`${where}: has ${files.size} files; a bundle may have at most ${MAX_FILES}`);
  }
  let total = 0;
  for (const [name, { size }] of files) {
    const most = mostBytes(name, manifest);
    if (size > most) {
      throw new BundleError(
        `${where}: ${name} has ${size} bytes, more than the ${most} allowed for images of this size`,
      );
    }
    total += size;
  }
  if (total > MAX_BUNDLE_BYTES) {
    throw new BundleError(
      `${where}: its files have ${total} bytes; a bundle may have at most ${MAX_BUNDLE_BYTES}`,
    );
  }
}

/**
 * @param {string} name
 * @param {Manifest} manifest
 */
function mostBytes(name, { imageChannels, imageHeight, imageWidth, latentSize }) {
  const pixels = imageChannels * imageHeight * imageWidth;
  if (GRAPH_NAMES.includes(name)) {
    return 4 * (1_500_000 + 64 * pixels * latentSize) + OTHER_BYTES;
  }
  if (name === PRIOR_NAME) {
    return OTHER_BYTES + PRIOR_BYTES_PER_LATENT * latentSize;
  }
  if (name === GOLDEN_NAME) {
    return OTHER_BYTES + GOLDEN_IMAGES * (3 * pixels + 16 * latentSize);
  }
  return OTHER_BYTES;
}
