/** Names of images: those that spec/format.md allows, and no others. */

import assert from "node:assert/strict";
import test from "node:test";

import { asNames, readNames } from "../format/names.js";
import { readText } from "./repository.js";

test("names that are allowed come back", () => {
  const names = [
    ...["a", "IMG 0001", "-rf", ".hidden", "a.b.c", " leading space", "Screenshot 9.41.00\u202fAM", "\u3000"],
    ...[
      "non-breaking\u00a0space",
      "h\u00e9",
      "he\u0301",
      "\u2764\ufe0f",
      "\u{1fae8}",
      "\u{e1fff}\u0378\uffff\ue000",
    ],
    ...["x".repeat(200), "\u00e9".repeat(100), "CONSOLE", "COM", "COM10", "lpt\u0661", "CO\u0274", "con\u0131n$"],
    ...["a/b", "a/b/c.d", ".git/x", Array(10).fill("x".repeat(99)).join("/")],
  ];
  for (const name of names) {
    assert.deepEqual(asNames([name], 1), [name]);
  }
  for (const several of [["a", "A"], ["a.b", "a/b"], ["a-b", "a/b"], []]) {
    assert.deepEqual(asNames(several, several.length), several);
  }
});

test("names that are refused say why", () => {
  /** @type {[string, RegExp][]} */
  const cases = [
    ["", /empty/],
    [".", /is a folder/],
    ["a/../b", /is a folder/],
    ["/a", /empty/],
    ["a//b", /empty/],
    ["a/", /empty/],
    ["a\\b", /contains U\+005C/],
    ["C:evil", /contains U\+003A/],
    ["a.", /drops a dot or space/],
    ["a ", /drops a dot or space/],
    ["a./b", /drops a dot or space/],
    ["x".repeat(201), /more than 200 bytes/],
    ["\u00e9".repeat(101), /more than 200 bytes/],
    [Array(10).fill("x".repeat(100)).join("/"), /more than 1000 bytes/],
    ...["CON", "con", "Prn", "AUX", "nul", "CONIN$", "conout$", "COM0", "lpt9", "COM\u00b2", "lpt\u00b3"].map(
      (name) => /** @type {[string, RegExp]} */ ([name, /is a device on Windows/]),
    ),
    ["nul.tar.gz", /is a device/],
    ["CON .txt", /is a device/],
    ["a/aux/b", /is a device/],
    ["\ufeffa", /contains U\+FEFF/],
    ["a\ud800", /contains U\+D800/],
  ];
  for (const [name, reason] of cases) {
    assert.throws(() => asNames([name], 1), { name: "InputError", message: reason }, name);
  }
  assert.throws(() => asNames(["a/b"], 1, { paths: false }), { message: /contains a \// });
});

test("exactly the code points of the page are refused", () => {
  const rows = [...readText("spec/format.md").matchAll(/^\| ((?:[0-9A-F]{4,5}(?:-[0-9A-F]{4,5})?(?:, )?)+) \|/gm)];
  assert.equal(rows.length, 4);
  const listed = new Set(Array.from('<>:"|?*\\', (letter) => letter.charCodeAt(0)));
  for (const codes of rows.flatMap((row) => row[1].split(", "))) {
    const [first, last = first] = codes.split("-");
    for (let code = parseInt(first, 16); code <= parseInt(last, 16); code++) {
      listed.add(code);
    }
  }
  for (let code = 0; code < 0xe2000; code = code === 0x2ffff ? 0xdf000 : code + 1) {
    if (code !== 0x2f) {
      // A slash makes two parts
      assert.equal(isAllowed(`a${String.fromCodePoint(code)}b`), !listed.has(code), code.toString(16));
    }
  }
});

/** @param {string} name */
function isAllowed(name) {
  try {
    return asNames([name], 1).length === 1;
  } catch {
    return false;
  }
}

test("lists of names that are not one name per image are refused", () => {
  const lists = [["a"], ["a", "b", "c"], ["a", "a"], ["a", "a/b"], ["a/b/c", "a/b"], ["a", 5], ["a", null]];
  for (const names of [...lists, "ab", 5, null, undefined, {}, new Set("ab"), new Uint8Array(2)]) {
    assert.throws(() => asNames(names, 2), { name: "InputError" });
  }
  for (const between of ["a b", "a-b", "a.b", "a0", "a\u00e9"]) {
    const sentence = "'a' is the name of an image and the folder of 'a/b'";
    assert.throws(() => asNames(["a/b", between, "a"], 3), { message: sentence });
  }
});

test("a message repeats a few characters of a name", () => {
  assert.throws(
    () => asNames(["x".repeat(100_000)], 1),
    (/** @type {Error} */ error) => error.message.length < 300,
  );
});

test("names in a file are UTF-8, with one zero byte between two", () => {
  assert.deepEqual(readNames(new TextEncoder().encode("a\0h\u00e9"), 2, { paths: true }), ["a", "h\u00e9"]);
  assert.deepEqual(readNames(new Uint8Array(0), 0, { paths: true }), []);
  /** @type {[number[], number][]} */
  const cases = [
    [[0xff], 1],
    [[0xc3], 1],
    [[0xed, 0xa0, 0x80], 1],
    [[], 1],
    [[0x61], 0],
    [[0xef, 0xbb, 0xbf, 0x61], 1],
  ];
  for (const [listed, images] of cases) {
    assert.throws(() => readNames(Uint8Array.from(listed), images, { paths: true }), { name: "InputError" });
  }
});

test("checking many deep names takes linear time", () => {
  const names = Array.from(
    { length: 2000 },
    (_, number) => `${String(number).padStart(6, "0")}${"/x".repeat(497)}`,
  );
  const started = performance.now();
  assert.deepEqual(asNames(names, names.length), names);
  assert.ok(performance.now() - started < 5000);
});
