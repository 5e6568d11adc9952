/**
 * The errors of fmae-edge for bad data, a bad file or a bad bundle, and how their messages show a value.
 *
 * Each message is a sentence that names the invalid value and says what to do.
 */

/** The base class of all errors of fmae-edge. */
export class FmaeError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = new.target.errorName;
  }

  /** Classes lose their own names in minified code. */
  static errorName = "FmaeError";
}

/** Invalid data: a wrong size, type, range or file content. */
export class InputError extends FmaeError {
  static errorName = "InputError";
}

/** An invalid argument of a call: `argument` is its name, and `problem` continues the sentence. */
export class ArgumentError extends InputError {
  static errorName = "ArgumentError";

  /**
   * @param {string} argument
   * @param {string} problem
   */
  constructor(argument, problem) {
    super(`${argument} ${problem}`);
    this.argument = argument;
    this.problem = problem;
  }
}

/** A bundle that is incomplete, altered, or made for another version of the format. */
export class BundleError extends FmaeError {
  static errorName = "BundleError";
}

/** A lack of memory or another resource, because of which `what` cannot be done; other inputs would fail too. */
export class ResourceError extends FmaeError {
  static errorName = "ResourceError";
}

/**
 * Return the text of a value for a message, cut to about `most` characters.
 *
 * @param {unknown} value
 * @param {number} [most]
 * @returns {string}
 */
export function shown(value, most = 200) {
  if (typeof value === "string") {
    const letters = [...value.slice(0, most)].map(printable).join("");
    return value.length > most ? `'${letters}'...` : `'${letters}'`;
  }
  if (value === null || ["undefined", "number", "boolean", "bigint"].includes(typeof value)) {
    const text = String(value);
    return text.length > most ? `${text.slice(0, most - 3)}...` : text;
  }
  return kindOf(value);
}

/**
 * Return the text of a list for a message, in parentheses, cut to about `most` characters; of another value, what
 * `shown` returns.
 *
 * @param {unknown} value
 * @param {number} [most]
 * @returns {string}
 */
export function listed(value, most = 200) {
  if (!Array.isArray(value)) {
    return shown(value, most);
  }
  const text = `(${value.slice(0, most).join(", ")})`;
  return text.length > most ? `${text.slice(0, most - 3)}...` : text;
}

/**
 * Return the message of anything that was thrown.
 *
 * @param {unknown} error
 * @returns {string}
 */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/**
 * Return the name of the type of a value for a message.
 *
 * @param {unknown} value
 * @returns {string}
 */
export function kindOf(value) {
  if (value === null || value === undefined) {
    return String(value);
  }
  if (typeof value !== "object") {
    return typeof value;
  }
  return Object.prototype.toString.call(value).slice(8, -1);
}

/** @param {string} letter */
function printable(letter) {
  if (letter === "'" || letter === "\\") {
    return `\\${letter}`;
  }
  return /[\p{C}\p{Zl}\p{Zp}]/u.test(letter)
    ? `\\u{${/** @type {number} */ (letter.codePointAt(0)).toString(16)}}`
    : letter;
}
