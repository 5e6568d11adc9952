/** A slice of the fuzz run: changed golden files are read, or refused with an FmaeError. */

import assert from "node:assert/strict";
import test from "node:test";

import { Fuzzer } from "./fuzz_inputs.js";
import { toHex } from "./golden.js";
import { GOLDEN, read } from "./repository.js";

test("changed files are read or refused", async () => {
  const fuzzer = new Fuzzer(
    GOLDEN,
    await Promise.all(["network", "tables"].map((name) => read(`spec/golden/format-1/${name}.safetensors`))),
  );
  /** @type {Set<string>} */
  const outcomes = new Set();
  for (let run = 0; run < 2000; run++) {
    const input = fuzzer.input(run);
    try {
      outcomes.add(`${input.kind} ${fuzzer.accepts(input)}`);
    } catch (error) {
      assert.fail(`input ${run}, ${input.kind} ${toHex(input.content)}: ${error}`);
    }
  }
  for (const kind of Object.keys(fuzzer.kinds)) {
    assert.ok(outcomes.has(`${kind} true`), `no ${kind} was read`);
    assert.ok(kind === "bare" || outcomes.has(`${kind} false`), `no ${kind} was refused`);
  }
});
