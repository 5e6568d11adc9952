/**
 * Parse JSON and keep what `JSON.parse` loses: `3` is a BigInt and `3.0` a number. The hashes of a bundle depend
 * on this difference. The limits are those of a manifest, see spec/bundle.md.
 */

const MAX_LEVELS = 32; // of nesting, which also bounds recursion
const MAX_INTEGER_CHARACTERS = 20;

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /(-?(?:0|[1-9][0-9]*))(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const PLAIN_TEXT = /[^"\\\u0000-\u001f]*/y;
const HEX_DIGITS = /[0-9a-fA-F]{4}/y;
/** @type {Record<string, string>} */
const ESCAPES = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };
/** @type {[string, boolean | null][]} */
const WORDS = [
  ["true", true],
  ["false", false],
  ["null", null],
];

/**
 * A JSON value: integers are BigInts, all other numbers are numbers. Objects have no prototype, so every key that
 * they have is one of the text.
 *
 * @typedef {null | boolean | string | number | bigint | JsonValue[] | JsonObject} JsonValue
 * @typedef {{ [key: string]: JsonValue }} JsonObject
 */

/** Text that is not JSON, or that exceeds a limit: the message says what is wrong and where. */
export class JsonError extends Error {}

/**
 * Parse a JSON text. If a key occurs twice, the last value counts.
 *
 * @param {string} text
 * @returns {JsonValue}
 * @throws {JsonError} if the text is not JSON, has an infinite number, an integer of more than 20 characters or
 *   more than 32 levels
 */
export function parseJson(text) {
  const reader = new Reader(text);
  const value = reader.value(MAX_LEVELS);
  reader.end();
  return value;
}

class Reader {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  /**
   * @param {number} levels that the value may have
   * @returns {JsonValue}
   */
  value(levels) {
    this.match(SPACE);
    const first = this.text[this.at];
    if (first === "{") {
      return this.object(levels);
    }
    if (first === "[") {
      return this.array(levels);
    }
    if (first === '"') {
      return this.string();
    }
    for (const [word, value] of WORDS) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return value;
      }
    }
    return this.number();
  }

  end() {
    this.match(SPACE);
    if (this.at < this.text.length) {
      throw this.unexpected("the end");
    }
  }

  /** @param {number} levels */
  object(levels) {
    /** @type {JsonObject} */
    const object = Object.create(null);
    this.items("}", levels, () => {
      this.match(SPACE);
      const key = this.string();
      this.match(SPACE);
      this.skip(":");
      object[key] = this.value(levels - 1);
    });
    return object;
  }

  /** @param {number} levels */
  array(levels) {
    /** @type {JsonValue[]} */
    const array = [];
    this.items("]", levels, () => array.push(this.value(levels - 1)));
    return array;
  }

  /**
   * Read what is between two brackets.
   *
   * @param {string} end
   * @param {number} levels
   * @param {() => void} readItem
   */
  items(end, levels, readItem) {
    if (levels === 0) {
      throw new JsonError(`more than ${MAX_LEVELS} levels of nesting`);
    }
    this.at += 1;
    this.match(SPACE);
    if (this.text[this.at] !== end) {
      readItem();
      this.match(SPACE);
      while (this.text[this.at] === ",") {
        this.at += 1;
        readItem();
        this.match(SPACE);
      }
    }
    this.skip(end);
  }

  string() {
    this.skip('"');
    let string = this.match(PLAIN_TEXT)[0];
    while (this.text[this.at] === "\\") {
      string += this.escape();
      string += this.match(PLAIN_TEXT)[0];
    }
    this.skip('"');
    return string;
  }

  escape() {
    const letter = this.text[this.at + 1] ?? "";
    this.at += 2;
    if (letter === "u") {
      return String.fromCharCode(parseInt(this.match(HEX_DIGITS)[0], 16));
    }
    if (!Object.hasOwn(ESCAPES, letter)) {
      throw this.unexpected("an escape", this.at - 1);
    }
    return ESCAPES[letter];
  }

  number() {
    const [text, digits, fraction, exponent] = this.match(NUMBER);
    if (fraction === undefined && exponent === undefined) {
      if (text.length > MAX_INTEGER_CHARACTERS) {
        throw new JsonError(
          `an integer of ${text.length} characters; at most ${MAX_INTEGER_CHARACTERS} are allowed`,
        );
      }
      return BigInt(digits);
    }
    const number = Number(text);
    if (!Number.isFinite(number)) {
      throw new JsonError("an infinite number");
    }
    return number;
  }

  /** @param {RegExp} pattern that is sticky */
  match(pattern) {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.text);
    if (match === null) {
      throw this.unexpected("a value");
    }
    this.at = pattern.lastIndex;
    return match;
  }

  /** @param {string} character */
  skip(character) {
    if (this.text[this.at] !== character) {
      throw this.unexpected(character);
    }
    this.at += 1;
  }

  /** @param {string} expected */
  unexpected(expected, at = this.at) {
    const found = at < this.text.length ? JSON.stringify(this.text[at]) : "the end";
    return new JsonError(`expected ${expected} at character ${at}, found ${found}`);
  }
}
