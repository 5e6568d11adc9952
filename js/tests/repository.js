/** Files of the repository, for tests that run in Node. */

import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";

import { loadGolden } from "./golden.js";

export const REPOSITORY = new URL("../../", import.meta.url);

/** @param {string} path in the repository */
export async function read(path) {
  return new Uint8Array(await readFile(new URL(path, REPOSITORY)));
}

/** @param {string} path in the repository */
export function readText(path) {
  return readFileSync(new URL(path, REPOSITORY), "utf8");
}

export const GOLDEN = await loadGolden(read);
