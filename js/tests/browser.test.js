/** The checks of the golden files and of the codec pass in headless Chromium, which decodes the symbols of an image within 1 ms. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import test from "node:test";

import { serve } from "./server.js";

const PAGE = `<!doctype html><meta charset="utf-8"><script>
  const fail = (text) => fetch("/results", { method: "POST", body: JSON.stringify({ failures: { script: String(text) } }) });
  addEventListener("error", (event) => fail(event.message));
  addEventListener("unhandledrejection", (event) => fail(event.reason));
</script><script type="module" src="/js/tests/browser_page.js"></script>`;
const NAMES = ["chromium", "chromium-browser", "google-chrome"];
const CHROMIUM = (process.env.PATH ?? "")
  .split(delimiter)
  .flatMap((folder) => NAMES.map((name) => join(folder, name)))
  .find(isExecutable);

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

test(
  "the golden files pass in Chromium",
  { skip: CHROMIUM ? false : "no Chromium in PATH", timeout: 120_000 },
  async (t) => {
    const server = await serve(PAGE);
    const profile = mkdtempSync(join(tmpdir(), "fmae-edge-"));
    const flags = [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      `--user-data-dir=${profile}`,
    ];
    const browser = spawn(/** @type {string} */ (CHROMIUM), [...flags, server.address], { stdio: "ignore" });
    const closed = once(browser, "exit");
    try {
      const early = closed.then(([code]) => assert.fail(`Chromium ended with ${code} before the checks did`));
      const { failures, checks, milliseconds } = await Promise.race([server.results, early]);
      assert.deepEqual(failures, {});
      assert.ok(checks > 5);
      t.diagnostic(`${milliseconds.toFixed(3)} ms per image`);
      assert.ok(milliseconds < 1, `decoding the symbols of an image takes ${milliseconds} ms`);
    } finally {
      browser.kill();
      await closed;
      server.close();
      rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    }
  },
);
