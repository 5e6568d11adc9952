/** Bundles from every kind of source, and damaged ones. */

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync, mkdirSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

import { Bundle } from "../bundle/bundle.js";
import { canonicalJson } from "../bundle/canonical_json.js";
import { parseJson } from "../bundle/exact_json.js";
import { sha256 } from "../bundle/sha256.js";
import { Codec } from "../codec.js";
import { createEngine as onnxruntime } from "../engine/onnxruntime.js";
import { createEngine as own } from "../engine/own.js";
import { ArgumentError, BundleError } from "../errors.js";

const FOLDER = fileURLToPath(new URL("../../fmae_edge/bundles/default", import.meta.url));
const ID = "cdec09c309b5c86a"; // what `fmae-edge info` shows
const GRAY = { width: 28, height: 28, channels: 1, data: new Uint8Array(784) };
const scratch = mkdtempSync(join(tmpdir(), "bundle-"));
after(() => rmSync(scratch, { recursive: true }));

/** @returns {Record<string, Uint8Array>} the bytes of each file of the default bundle */
function files() {
  return Object.fromEntries(
    readdirSync(FOLDER).map((name) => [name, new Uint8Array(readFileSync(join(FOLDER, name)))]),
  );
}

/** @param {Record<string, Uint8Array>} content */
function chosen(content) {
  return Object.entries(content).map(([name, bytes]) => new File([/** @type {any} */ (bytes)], name));
}

/**
 * Return the files with another manifest, whose checksum matches.
 *
 * @param {(manifest: any) => void} change
 */
async function withManifest(change) {
  const content = files();
  const { checksum: _, ...manifest } = /** @type {any} */ (
    parseJson(new TextDecoder().decode(content["manifest.json"]))
  );
  change(manifest);
  const checksum = await sha256(new TextEncoder().encode(canonicalJson(manifest)));
  content["manifest.json"] = new TextEncoder().encode(canonicalJson({ ...manifest, checksum }));
  return content;
}

/** @param {Promise<unknown>} loading @param {RegExp} message @param {new (...given: any[]) => Error} kind */
async function refused(loading, message, kind = BundleError) {
  await assert.rejects(loading, (error) => {
    assert(error instanceof kind, String(error));
    assert.match(error.message, message);
    return true;
  });
}

/** Serve files, and call `use` with the URL of their folder. @param {(url: string) => Promise<void>} use */
async function served(/** @type {Record<string, Uint8Array>} */ content, use) {
  const server = createServer((request, response) => {
    const name = (request.url ?? "").split("/bundles/x/")[1];
    if (name === "encoder.onnx") {
      request.socket.destroy();
    } else if (name === "decoder.fp32.onnx") {
      response.writeHead(500).end();
    } else if (content[name] === undefined) {
      response.writeHead(404).end();
    } else {
      response.end(content[name]);
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(null)));
  try {
    await use(
      `http://127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (server.address()).port}/bundles/x`,
    );
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

test("every source gives the same bundle", async () => {
  const content = files();
  const sources = [FOLDER, pathToFileURL(FOLDER), `${pathToFileURL(FOLDER)}/`, chosen(content), content];
  for (const source of [...sources, new Map(Object.entries(content))]) {
    const bundle = await Bundle.load(source);
    assert.equal(bundle.bundleId, ID);
    assert.deepEqual([...(await bundle.file("decoder.onnx"))], [...content["decoder.onnx"]]);
  }
});

test("a bundle from a server, and what can fail there", async () => {
  const content = files();
  delete content["golden.safetensors"];
  await served(content, async (url) => {
    for (const source of [url, `${url}/`, new URL(url)]) {
      const bundle = await Bundle.load(source);
      assert.equal(bundle.bundleId, ID);
      assert.equal((await bundle.file("decoder.onnx")).length, content["decoder.onnx"].length);
      await refused(
        bundle.file("golden.safetensors"),
        /x: golden\.safetensors is missing, so the bundle is incomplete/,
      );
      await refused(bundle.file("encoder.onnx"), /encoder\.onnx cannot be read \(.+\)$/);
      await refused(bundle.file("decoder.fp32.onnx"), /decoder\.fp32\.onnx cannot be read \(HTTP status 500\)$/);
    }
    content["decoder.onnx"] = new Uint8Array(2 ** 24);
    await refused((await Bundle.load(url)).file("decoder.onnx"), /decoder\.onnx does not match the SHA-256/);
    content["manifest.json"] = new Uint8Array(2 ** 22);
    await refused(Bundle.load(url), /manifest\.json has more than 2097152 bytes/);
  });
  await refused(Bundle.load("http://127.0.0.1:9/x"), /manifest\.json cannot be read/);
});

test("a bundle can be pinned by its id or by all its bytes", async () => {
  const { sha256: hash } = await Bundle.load(FOLDER);
  for (const expectId of [ID, hash]) {
    await Bundle.load(FOLDER, { expectId });
  }
  const message = /expected bundle '0', but its id is cdec09c309b5c86a and the/;
  await refused(Bundle.load(FOLDER, { expectId: "0" }), message);
});

test("any changed byte is detected before a file is parsed", async () => {
  for (const [name, from] of /** @type {const} */ ([
    ["prior.safetensors", 0],
    ["encoder.onnx", 0.5],
    ["decoder.onnx", 1],
  ])) {
    const content = files();
    content[name][Math.floor(from * (content[name].length - 1))] ^= 1;
    const message = new RegExp(`^the bundle: ${name} does not match the SHA-256 in the manifest`);
    await refused(codecRuns(content), message);
    content[name] = content[name].subarray(0, 10);
    await refused(codecRuns(content), message);
    delete content[name];
    await refused(codecRuns(content), new RegExp(`^the bundle: ${name} is missing, so the bundle is incomplete`));
  }
});

/** @param {Record<string, Uint8Array>} content */
async function codecRuns(content) {
  const codec = await Codec.load(content);
  await codec.decompress(await codec.compress(GRAY));
}

test("a changed byte of the manifest is detected or harmless", async () => {
  const content = files();
  const original = content["manifest.json"];
  for (let at = 0; at < original.length; at += Math.ceil(original.length / 50)) {
    content["manifest.json"] = original.slice();
    content["manifest.json"][at] ^= 1;
    await Bundle.load(content).then(
      ({ bundleId }) => assert.equal(bundleId, ID), // a space became another kind of space
      (error) => assert(error instanceof BundleError, String(error)),
    );
  }
});

/** @type {[string, (manifest: any) => void, RegExp][]} */
const CHANGES = [
  [
    "a large graph",
    (it) => (it.files["encoder.onnx"].size = 2n ** 30n),
    /has 1073741824 bytes, more than the \d+ allowed/,
  ],
  [
    "a large prior",
    (it) => (it.files["prior.safetensors"].size = 2_000_000n),
    /prior\.safetensors has 2000000 bytes/,
  ],
  [
    "a large golden file",
    (it) => (it.files["golden.safetensors"].size = 2_000_000n),
    /golden\.safetensors has 2000000/,
  ],
  [
    "a large other file",
    (it) => (it.files.more = { size: 2_000_000n, sha256: "0".repeat(64) }),
    /more has 2000000 bytes/,
  ],
  [
    "many files",
    (it) => {
      for (let number = 0; number < 10; number++) {
        it.files[`more${number}`] = { size: 0n, sha256: "0".repeat(64) };
      }
    },
    /has 17 files; a bundle may have at most 16/,
  ],
  [
    "all files together",
    (it) => {
      it.image = { ...it.image, height: 1024n, width: 1024n };
      for (const name of ["encoder.onnx", "decoder.onnx", "encoder.fp32.onnx", "decoder.fp32.onnx"]) {
        it.files[name].size = 65n << 20n;
      }
    },
    /its files have 2730\d+ bytes; a bundle may have at most 268435456/,
  ],
  ["another number of latents", (it) => it.latent.steps.pop(), /not the prior of this bundle/],
];

for (const [what, change, message] of CHANGES) {
  test(`${what} is refused`, async () => refused(Bundle.load(await withManifest(change)), message));
}

test("the largest file of each kind is allowed, and a byte more is not", async () => {
  const sizes = { "encoder.onnx": 19_893_632, "golden.safetensors": 1_264_640, more: 2 ** 20 };
  for (const [name, size] of Object.entries(sizes)) {
    const load = async (/** @type {number} */ bytes) =>
      Bundle.load(await withManifest((it) => (it.files[name] = { size: BigInt(bytes), sha256: "0".repeat(64) })));
    assert((await load(size)).files.includes(name));
    await refused(load(size + 1), new RegExp(`${name} has ${size + 1} bytes, more than the ${size} allowed`));
  }
});

test("graphs that do not fit the manifest are refused before an engine runs them", async () => {
  const content = await withManifest((it) => {
    it.image.width = 29n;
  });
  for (const engine of [onnxruntime, own]) {
    const codec = await Codec.load(content, { engine });
    await refused(
      codec.compress({ ...GRAY, width: 29, data: new Uint8Array(28 * 29) }),
      /where the manifest needs/,
    );
  }
});

test("a bundle without a prior makes latents, but no files", async () => {
  const content = await withManifest((it) => {
    delete it.qualities;
    it.format_version = 2n;
  });
  delete content["prior.safetensors"];
  const codec = await Codec.load(content);
  await codec.decode(await codec.encode(GRAY));
  await refused(codec.compress(GRAY), /has no prior, which \.fmae files need/);
  await refused(codec.decode(new Int32Array(64), 5), /has no prior/);
  await refused(codec.packets.compress([GRAY], 50), /has no prior/);
});

test("folders and files that cannot be read", async () => {
  await refused(Bundle.load(join(scratch, "nowhere")), /nowhere: manifest\.json is missing/);
  const folder = join(scratch, "a bundle #1%");
  mkdirSync(join(folder, "decoder.onnx"), { recursive: true });
  for (const [name, bytes] of Object.entries(files())) {
    if (name !== "decoder.onnx") {
      writeFileSync(join(folder, name), bytes);
    }
  }
  await refused((await Bundle.load(folder)).file("decoder.onnx"), /decoder\.onnx is not a regular file/);
  await refused((await Bundle.load(folder)).file("readme"), /has no readme/);
  const twice = [...chosen(files()), ...chosen(files())];
  await refused(Bundle.load(twice), /the chosen files: contain manifest\.json 2 times; choose one bundle/);
  await refused(Bundle.load("C:\\none"), /^file:.*none: manifest\.json is missing/);
  await refused(Bundle.load([]), /the chosen files: manifest\.json is missing/);
});

test("a caller may change bytes after they were checked", async () => {
  const name = "decoder.onnx";
  for (const given of [files()[name], Buffer.from(files()[name])]) {
    const bundle = await Bundle.load({ ...files(), [name]: given });
    const graph = await bundle.file(name);
    given.fill(0);
    assert.notEqual(graph[0], 0);
  }
});

test("arguments that are not a bundle", async () => {
  for (const source of /** @type {any[]} */ ([undefined, null, 3, true, [1], ["name"]])) {
    await refused(
      Codec.load(source),
      /^bundle is .*; expected the URL of a folder, files, or an object/,
      ArgumentError,
    );
  }
  for (const url of ["data:text/plain,x", "mailto:x"]) {
    await refused(Codec.load(url), /^bundle is '.*', which is not the URL of a folder/, ArgumentError);
  }
  const engine = /** @type {any} */ ("own");
  await refused(Codec.load(FOLDER, { engine }), /^engine is 'own'; expected the createEngine/, ArgumentError);
  const text = /** @type {any} */ ({ ...files(), "manifest.json": "{}" });
  await refused(Codec.load(text), /^bundle has '\{\}' for manifest\.json; expected a Uint8Array/, ArgumentError);
  const precision = /** @type {any} */ ("int4");
  await refused(
    Codec.load(FOLDER, { precision }),
    /^precision is 'int4'; expected one of int8, fp32/,
    ArgumentError,
  );
  await refused(Codec.load(FOLDER, /** @type {any} */ ("int8")), /^options are 'int8'/, ArgumentError);
});
