/** Serve files of the repository on this machine, for tests in a browser. */

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

import { REPOSITORY } from "./repository.js";

const TYPES = { js: "text/javascript", mjs: "text/javascript", json: "application/json", html: "text/html" };

/**
 * Start a server, whose page posts its results to `/results`.
 *
 * @param {string} page HTML of `/`
 * @returns {Promise<{ address: string, results: Promise<any>, close: () => void }>}
 */
export async function serve(page) {
  /** @type {(results: any) => void} */
  let report = () => {};
  const results = new Promise((resolve) => (report = resolve));
  const server = createServer(async (request, response) => {
    const path = new URL(request.url ?? "/", "http://localhost").pathname;
    if (path === "/results") {
      const parts = [];
      for await (const part of request) {
        parts.push(part);
      }
      response.end();
      report(JSON.parse(Buffer.concat(parts).toString()));
      return;
    }
    const ending = /** @type {keyof typeof TYPES} */ (path === "/" ? "html" : path.split(".").at(-1));
    try {
      const content = path === "/" ? page : await readFile(new URL(`.${path}`, REPOSITORY));
      response.setHeader("Content-Type", TYPES[ending] ?? "application/octet-stream");
      response.end(content);
    } catch {
      response.statusCode = 404;
      response.end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(null)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    address: `http://127.0.0.1:${port}/`,
    results,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
