/** Open a page in headless Chromium, and wait for its results. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

import { serve } from "./server.js";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];

/** The path of Chromium, undefined if it is not in PATH. */
export const CHROMIUM = (process.env.PATH ?? "")
  .split(delimiter)
  .flatMap((folder) => NAMES.map((name) => join(folder, name)))
  .find(isExecutable);

/** Posts errors of a page as its results. */
const ERRORS = `<script>
  const fail = (text) => fetch("/results", { method: "POST", body: JSON.stringify({ error: String(text) }) });
  addEventListener("error", (event) => fail(event.message));
  addEventListener("unhandledrejection", (event) => fail(event.reason));
</script>`;

/**
 * Return the JSON that a page posts to /results, or its first error. The server has the files of the repository.
 *
 * @param {string} page HTML, which begins with its doctype
 * @returns {Promise<any>}
 */
export async function resultsOf(page) {
  const server = await serve(page.replace(">", `>${ERRORS}`));
  const profile = mkdtempSync(join(tmpdir(), "fmae-edge-"));
  const flags = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    `--user-data-dir=${profile}`,
  ];
  // A process group of its own: Chromium's other processes outlive the first one, and write to the profile
  const options = { stdio: /** @type {const} */ ("ignore"), detached: true };
  const browser = spawn(/** @type {string} */ (CHROMIUM), [...flags, server.address], options);
  const closed = once(browser, "exit");
  try {
    const early = closed.then(([code]) => {
      throw new Error(`Chromium ended with ${code} before the page posted its results`);
    });
    return await Promise.race([server.results, early]);
  } finally {
    if (browser.pid !== undefined && browser.exitCode === null) {
      process.kill(-browser.pid, "SIGKILL");
    }
    await closed;
    server.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
