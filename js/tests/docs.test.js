/** The programs of docs/javascript.md run as printed, in a project that has the package installed. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";

import { CHROMIUM, resultsOf } from "./chromium.js";
import { REPOSITORY, readText } from "./repository.js";

const PAGE = readText("docs/javascript.md");

/** @param {string} language */
function programs(language) {
  return Array.from(PAGE.matchAll(new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``, "g")), (match) => match[1]);
}

test("the programs for Node print what their comments say", () => {
  const project = mkdtempSync(join(tmpdir(), "fmae-edge-"));
  try {
    mkdirSync(join(project, "node_modules"));
    symlinkSync(fileURLToPath(new URL("js", REPOSITORY)), join(project, "node_modules/fmae-edge"));
    symlinkSync(fileURLToPath(new URL("fmae_edge/bundles", REPOSITORY)), join(project, "bundles"));
    const all = programs("js");
    assert.equal(all.length, 2);
    for (const program of all) {
      writeFileSync(join(project, "program.mjs"), program);
      const printed = execFileSync(process.execPath, ["program.mjs"], { cwd: project, encoding: "utf8" })
        .trim()
        .split("\n");
      const expected = Array.from(program.matchAll(/console\.log\(.*\); \/\/ (.*)/g), (match) => match[1]);
      assert.equal(printed.length, expected.length);
      printed.forEach((line, index) => {
        const [start] = expected[index].split(/, without|\.\.\./);
        assert.ok(line.startsWith(start), `${line} is not ${expected[index]}`);
      });
    }
  } finally {
    rmSync(project, { recursive: true });
  }
});

const skip = CHROMIUM === undefined ? "no Chromium in PATH" : false;

test("the program for browsers shows its image", { skip, timeout: 120_000 }, async () => {
  const [program] = programs("html");
  const report = `
    <script type="module">
      const context = document.getElementById("thumbnail").getContext("2d");
      const isGray = () => {
        const [red, green, blue, alpha] = context.getImageData(14, 14, 1, 1).data;
        return alpha === 255 && red === green && green === blue;
      };
      while (!isGray()) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      fetch("/results", { method: "POST", body: "{}" });
    </script>`;
  const page = program.replace("<canvas", "<!doctype html><canvas").replaceAll("/bundles/", "/fmae_edge/bundles/");
  assert.deepEqual(await resultsOf(page + report), {});
});
