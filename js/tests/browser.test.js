/**
 * The checks of the golden files and of the codec pass in headless Chromium, which decodes the symbols of an image
 * within 1 ms.
 */

import assert from "node:assert/strict";
import test from "node:test";

import { CHROMIUM, resultsOf } from "./chromium.js";

const skip = CHROMIUM === undefined ? "no Chromium in PATH" : false;
const PAGE = `<!doctype html><script type="module" src="/js/tests/browser_page.js"></script>`;

test("the golden files pass in Chromium", { skip, timeout: 120_000 }, async (t) => {
  const { failures, checks, milliseconds, error } = await resultsOf(PAGE);
  assert.equal(error, undefined);
  assert.deepEqual(failures, {});
  assert.ok(checks > 5);
  t.diagnostic(`${milliseconds.toFixed(3)} ms per image`);
  assert.ok(milliseconds < 1, `decoding the symbols of an image takes ${milliseconds} ms`);
});
