/** The package: version and licence are those of the Python package, and reader and own engine stay small. */

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import test from "node:test";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

import { REPOSITORY, readText } from "./repository.js";

const PACKAGE = JSON.parse(readText("js/package.json"));
const MAX_READER_BYTES = 30_000;
const MAX_ENGINE_BYTES = 60_000;

test("version and licence are those of the Python package", () => {
  assert.equal(PACKAGE.version, /__version__ = "([^"]+)"/.exec(readText("fmae_edge/__init__.py"))?.[1]);
  assert.equal(PACKAGE.license, /^license = "([^"]+)"/m.exec(readText("pyproject.toml"))?.[1]);
});

test("the package is imported by its names", async () => {
  const reader = await import(/** @type {any} */ ("fmae-edge/reader"));
  const everything = await import(/** @type {any} */ ("fmae-edge"));
  assert.equal(reader.FmaeError, everything.FmaeError);
  for (const name of ["Prior", "decodeSymbols", "describeFmae", "parseFmae", "parsePacket", "decodeLossless"]) {
    assert.equal(typeof reader[name], "function", name);
  }
});

test("every folder of modules is published, and tests are not", () => {
  const folders = readdirSync(new URL("js/", REPOSITORY), { withFileTypes: true })
    .filter(
      (entry) =>
        entry.isDirectory() && !["benchmarks", "node_modules", "page", "tests", "types"].includes(entry.name),
    )
    .map((entry) => entry.name);
  assert.deepEqual(
    folders.filter((name) => !PACKAGE.files.includes(name)),
    [],
  );
  assert.ok(!PACKAGE.files.includes("tests"));
});

test("the reader takes less than 30 kB and needs nothing but its own modules", async () => {
  const { contents, modules } = await minified("js/reader.js");
  assert.ok(contents.length < MAX_READER_BYTES, `the reader has ${contents.length} bytes`);
  const others = modules.filter((path) => /node_modules|engine|codec/.test(path));
  assert.deepEqual(others, []);
});

test("the own engine takes less than 60 kB with its WebAssembly and the check of graphs", async () => {
  const { contents, modules } = await minified("js/engine/own.js");
  assert.ok(contents.length < MAX_ENGINE_BYTES, `the engine has ${contents.length} bytes`);
  assert.ok(!modules.some((path) => path.includes("node_modules")));
});

test("a bundler for browsers takes the whole package, and nothing in it is for Node alone", async () => {
  const { modules } = await minified("js/index.js");
  assert.ok(modules.some((path) => path.endsWith("bundle/bundle_source.js")));
});

/** @param {string} entry a module in the repository */
async function minified(entry) {
  const { outputFiles, metafile } = await build({
    entryPoints: [fileURLToPath(new URL(entry, REPOSITORY))],
    bundle: true,
    minify: true,
    format: "esm",
    write: false,
    metafile: true,
    logLevel: "silent",
  });
  return { contents: outputFiles[0].contents, modules: Object.keys(metafile.inputs) };
}
