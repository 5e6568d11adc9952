/** The golden files are read and written in Node; browser.test.js does the same in a browser. */

import test from "node:test";

import { CHECKS } from "./golden_checks.js";
import { GOLDEN, read } from "./repository.js";

for (const [name, check] of Object.entries(CHECKS)) {
  test(name, () => check(GOLDEN, read));
}
