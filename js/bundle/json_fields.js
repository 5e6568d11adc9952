/** Take values out of parsed JSON, and check their types and ranges. */

import { shown } from "../errors.js";

/** @import { JsonObject, JsonValue } from "./exact_json.js" */

/** A value of another type, or outside its range: the message names it and says what was expected. */
export class InvalidValue extends Error {}

/**
 * @param {JsonValue | undefined} value
 * @returns {value is JsonObject}
 */
export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * @param {JsonObject} parent
 * @param {string} key
 */
export function objectOf(parent, key) {
  const value = parent[key];
  if (!isObject(value)) {
    throw new InvalidValue(`${key} is ${shown(value)}; expected an object`);
  }
  return value;
}

/**
 * @param {JsonValue | undefined} value
 * @param {string} what
 */
export function arrayOf(value, what) {
  if (!Array.isArray(value)) {
    throw new InvalidValue(`${what} is ${shown(value)}; expected an array`);
  }
  return value;
}

/**
 * @param {JsonValue | undefined} value
 * @param {string} what
 * @param {number} least
 * @param {number} most
 */
export function integerOf(value, what, least, most) {
  if (typeof value === "bigint" && least <= value && value <= most) {
    return Number(value);
  }
  throw new InvalidValue(`${what} is ${shown(value)}; expected an integer from ${least} to ${most}`);
}

/**
 * @param {JsonValue | undefined} value
 * @param {string} what
 * @param {number} least
 * @param {number} most
 */
export function floatOf(value, what, least, most) {
  if (typeof value === "number" && least <= value && value <= most) {
    return value;
  }
  throw new InvalidValue(`${what} is ${shown(value)}; expected a float from ${least} to ${most}`);
}

/**
 * @param {JsonValue | undefined} value
 * @param {string} what
 * @param {number} least
 * @param {number} most
 */
export function floatsOf(value, what, least, most) {
  return arrayOf(value, what).map((each) => floatOf(each, `a number of ${what}`, least, most));
}

/**
 * Return a JSON value with numbers in place of BigInts.
 *
 * @param {JsonValue | undefined} value
 * @returns {unknown}
 */
export function plain(value) {
  if (typeof value === "bigint") {
    return Number(value);
  }
  if (Array.isArray(value)) {
    return value.map(plain);
  }
  if (!isObject(value)) {
    return value;
  }
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
}
