/**
 * For tests in Python: read manifests, one in base64 per line of standard input. Print for each the bundle id, or
 * the name of the error and its message.
 */

import { text } from "node:stream/consumers";

import { parseManifest } from "../bundle/manifest.js";

for (const line of (await text(process.stdin)).trimEnd().split("\n")) {
  const content = Buffer.from(line, "base64");
  const verdict = await parseManifest(content, "here").then(
    ({ bundleId }) => ({ bundleId }),
    (error) => ({ error: error.name, message: error.message }),
  );
  console.log(JSON.stringify(verdict));
}
