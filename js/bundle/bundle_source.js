/**
 * Where the files of a bundle come from: a folder by its URL, files that a person chose, or bytes in memory.
 *
 * Nothing here trusts the source: a file is read up to a limit, and the caller checks its hash.
 */

import { ArgumentError, BundleError, messageOf, shown } from "../errors.js";

const DRIVE = /^[a-z]:[/\\]/i; // of a path on Windows, which is otherwise a URL with the scheme c:

/**
 * A folder's URL, the files of a folder (what an `<input type="file">` or a drop gives), or the bytes of each file
 * by its name. In Node, a string without a scheme is the path of a folder.
 *
 * @typedef {string | URL | ArrayLike<File> | Map<string, Uint8Array> | Record<string, Uint8Array>} BundleLike
 *
 * `read` returns the bytes of a file, or more than `limit` bytes if the file is longer than that.
 *
 * @typedef {object} BundleSource
 * @property {string} where names the bundle in messages
 * @property {(name: string, limit: number) => Promise<Uint8Array>} read
 */

/**
 * @param {BundleLike} bundle
 * @returns {Promise<BundleSource>}
 * @throws {ArgumentError} if it is nothing that a bundle can be read from
 */
export async function openSource(bundle) {
  if (typeof bundle === "string" || bundle instanceof URL) {
    return openFolder(folderUrl(bundle));
  }
  if (bundle instanceof Map) {
    return inMemory((name) => bundle.get(name));
  }
  if (typeof bundle === "object" && bundle !== null) {
    if (!("length" in bundle)) {
      const files = /** @type {Record<string, Uint8Array>} */ (bundle);
      return inMemory((name) => (Object.hasOwn(files, name) ? files[name] : undefined));
    }
    const files = Array.from(/** @type {ArrayLike<File>} */ (bundle));
    if (files.every((file) => file instanceof Blob && typeof file.name === "string")) {
      return chosenFiles(files);
    }
  }
  const expected = "the URL of a folder, files, or an object of names and bytes";
  throw new ArgumentError("bundle", `is ${shown(bundle)}; expected ${expected}`);
}

/** @param {string | URL} folder */
function folderUrl(folder) {
  const isUrl = URL.canParse(String(folder)) && !DRIVE.test(String(folder));
  const isPath = globalThis.location === undefined && !isUrl;
  try {
    if (isPath) {
      return process.getBuiltinModule("node:url").pathToFileURL(`${folder}/`);
    }
    const url = new URL(folder, globalThis.document?.baseURI ?? globalThis.location?.href);
    if (!url.pathname.endsWith("/")) {
      url.pathname += "/";
    }
    return new URL(".", url); // which throws for a URL without folders, such as data:
  } catch {
    throw new ArgumentError("bundle", `is ${shown(String(folder))}, which is not the URL of a folder`);
  }
}

/**
 * @param {URL} folder
 * @returns {BundleSource}
 */
function openFolder(folder) {
  const where = folder.href.replace(/\/$/, "");
  const readUrl = folder.protocol === "file:" && globalThis.location === undefined ? readFromDisk : download;
  return { where, read: (name, limit) => readUrl(new URL(name, folder), `${where}: ${name}`, limit) };
}

/**
 * @param {URL} url
 * @param {string} what
 * @param {number} limit
 */
async function download(url, what, limit) {
  try {
    const response = await fetch(url);
    if (response.status === 404) {
      throw new BundleError(`${what} is missing, so the bundle is incomplete`);
    }
    if (!response.ok) {
      throw new BundleError(`${what} cannot be read (HTTP status ${response.status})`);
    }
    return response.body === null ? new Uint8Array(0) : await readStart(response.body, limit);
  } catch (error) {
    if (error instanceof BundleError) {
      throw error;
    }
    throw new BundleError(`${what} cannot be read (${messageOf(error)})`);
  }
}

/**
 * @param {ReadableStream<Uint8Array>} stream
 * @param {number} limit
 */
async function readStart(stream, limit) {
  const reader = stream.getReader();
  const chunks = [];
  let size = 0;
  while (size <= limit) {
    const { done, value } = await reader.read();
    if (done) {
      break;
    }
    chunks.push(value);
    size += value.length;
  }
  if (size > limit) {
    await reader.cancel();
  }
  const content = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    content.set(chunk, at);
    at += chunk.length;
  }
  return content;
}

/**
 * @param {URL} url
 * @param {string} what
 * @param {number} limit
 */
async function readFromDisk(url, what, limit) {
  const { open, stat } = process.getBuiltinModule("node:fs/promises"); // bundlers for browsers refuse an import
  let file;
  try {
    const facts = await stat(url); // first, because opening a pipe would wait
    if (!facts.isFile()) {
      throw new BundleError(`${what} is not a regular file`);
    }
    file = await open(url);
    const { size } = await file.stat();
    const content = new Uint8Array(Math.min(size, limit) + 1);
    const { bytesRead } = await file.read(content, 0, content.length, 0);
    return content.subarray(0, bytesRead);
  } catch (error) {
    if (error instanceof BundleError) {
      throw error;
    }
    if (/** @type {NodeJS.ErrnoException} */ (error).code === "ENOENT") {
      throw new BundleError(`${what} is missing, so the bundle is incomplete`);
    }
    throw new BundleError(`${what} cannot be read (${messageOf(error)})`);
  } finally {
    await file?.close();
  }
}

/**
 * @param {File[]} files
 * @returns {BundleSource}
 */
function chosenFiles(files) {
  const where = "the chosen files";
  /** @type {BundleSource["read"]} */
  async function read(name, limit) {
    const named = files.filter((file) => file.name === name);
    if (named.length === 0) {
      throw new BundleError(`${where}: ${name} is missing, so the bundle is incomplete`);
    }
    if (named.length > 1) {
      throw new BundleError(`${where}: contain ${name} ${named.length} times; choose one bundle`);
    }
    try {
      return new Uint8Array(await named[0].slice(0, limit + 1).arrayBuffer());
    } catch (error) {
      throw new BundleError(`${where}: ${name} cannot be read (${messageOf(error)})`);
    }
  }
  return { where, read };
}

/**
 * @param {(name: string) => Uint8Array | undefined} find
 * @returns {BundleSource}
 */
function inMemory(find) {
  const where = "the bundle";
  /** @type {BundleSource["read"]} */
  async function read(name, limit) {
    const content = find(name);
    if (content === undefined) {
      throw new BundleError(`${where}: ${name} is missing, so the bundle is incomplete`);
    }
    if (!(content instanceof Uint8Array)) {
      throw new ArgumentError("bundle", `has ${shown(content)} for ${name}; expected a Uint8Array`);
    }
    // A copy, because the caller may change its bytes after the check; slice() of Node's Buffer does not copy
    return new Uint8Array(content.subarray(0, limit + 1));
  }
  return { where, read };
}
