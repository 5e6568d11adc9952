/** Read a bundle: each file is checked against its size and its hash before anything parses it. */

import { Prior } from "../entropy/prior.js";
import { BundleError, shown } from "../errors.js";
import { openSource } from "./bundle_source.js";
import { GOLDEN_NAME, GRAPH_NAMES, MANIFEST_NAME, PRIOR_NAME, parseManifest } from "./manifest.js";
import { sha256 } from "./sha256.js";

/** @import { BundleLike, BundleSource } from "./bundle_source.js" */
/** @import { Manifest } from "./manifest.js" */

const MAX_MANIFEST_BYTES = 2 * 2 ** 20; // 65,536 latents take 1.6 MB
const MAX_FILES = 16;
const MAX_BUNDLE_BYTES = 256 * 2 ** 20;
// Of a file that this version does not know, and of a graph in addition to its weights
const OTHER_BYTES = 2 ** 20;
const PRIOR_BYTES_PER_LATENT = 4096;
const GOLDEN_IMAGES = 64;

/**
 * A bundle whose manifest and prior are read; graphs are read when they are needed.
 *
 * `prior` is null in bundles that make no .fmae files. `sha256` is the hash of manifest.json, which lists the
 * hashes of all other files, so it identifies every byte of the bundle. Messages about the bundle begin with
 * `where`.
 */
export class Bundle {
  /** @type {BundleSource} */
  #source;
  /** @type {Map<string, Promise<Uint8Array>>} */
  #read = new Map();

  /**
   * @param {BundleSource} source
   * @param {Manifest} manifest
   * @param {string} hash
   */
  constructor(source, manifest, hash) {
    this.#source = source;
    this.manifest = manifest;
    this.sha256 = hash;
    this.bundleId = manifest.bundleId;
    this.where = source.where;
    /** @type {Prior | null} */
    this.prior = null;
  }

  /**
   * Read a bundle from a folder's URL, from files, or from bytes by their names.
   *
   * @param {BundleLike} bundle
   * @param {{ expectId?: string }} [options] the bundle's id, or the SHA-256 of its manifest.json
   * @returns {Promise<Bundle>}
   * @throws {BundleError} if a file is missing, damaged or larger than images of this size justify, if the
   *   manifest or the prior is invalid, or if the bundle is not that of `expectId`
   */
  static async load(bundle, { expectId } = {}) {
    const source = await openSource(bundle);
    const { where } = source;
    const content = await source.read(MANIFEST_NAME, MAX_MANIFEST_BYTES);
    if (content.length > MAX_MANIFEST_BYTES) {
      throw new BundleError(`${where}: ${MANIFEST_NAME} has more than ${MAX_MANIFEST_BYTES} bytes`);
    }
    const manifest = await parseManifest(content, where);
    const hash = await sha256(content);
    if (expectId !== undefined && expectId !== manifest.bundleId && expectId !== hash) {
      throw new BundleError(
        `${where}: expected bundle ${shown(expectId)}, but its id is ${manifest.bundleId} and the SHA-256 of ` +
          `its manifest ${hash}`,
      );
    }
    requireReasonableSizes(manifest, where);
    const loaded = new Bundle(source, manifest, hash);
    if (manifest.qualities !== null) {
      loaded.prior = Prior.parse(await loaded.file(PRIOR_NAME), manifest.latentSize, manifest.qualities.steps);
    }
    return loaded;
  }

  /** The names of the bundle's files, without the manifest. */
  get files() {
    return [...this.manifest.files.keys()];
  }

  /**
   * Return the bytes of a file, checked. They are read once.
   *
   * @param {string} name one of `files`
   * @returns {Promise<Uint8Array>}
   * @throws {BundleError} if the file is missing or does not match the manifest
   */
  file(name) {
    let content = this.#read.get(name);
    if (content === undefined) {
      content = this.#readChecked(name);
      this.#read.set(name, content);
      content.catch(() => this.#read.delete(name)); // a connection may come back
    }
    return content;
  }

  /** @param {string} name */
  async #readChecked(name) {
    const entry = this.manifest.files.get(name);
    if (entry === undefined) {
      throw new BundleError(`${this.where}: has no ${name}`);
    }
    const content = await this.#source.read(name, entry.size);
    if (content.length !== entry.size || (await sha256(content)) !== entry.sha256) {
      throw new BundleError(
        `${this.where}: ${name} does not match the SHA-256 in the manifest, so it was altered or damaged: ` +
          "export the bundle again or get a fresh copy",
      );
    }
    return content;
  }
}

/**
 * Check the sizes in a manifest, before any file is read.
 *
 * @param {Manifest} manifest
 * @param {string} where names the bundle in messages
 * @throws {BundleError} if the bundle has too many files, or larger ones than images of its size justify
 */
function requireReasonableSizes(manifest, where) {
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
 * Return the largest size that a file may have: no larger than images of the bundle's size justify.
 *
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
