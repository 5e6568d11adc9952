/** Print JSON in the canonical form that the hashes of a bundle cover, see spec/bundle.md. */

/** @import { JsonValue } from "./exact_json.js" */

const EXPONENT_BELOW = -4; // a float from 1e-4 to below 1e16 has no exponent
const EXPONENT_FROM = 16;

const BEYOND_TILDE = /[\u007f-\uffff]/g;

/**
 * Return the canonical JSON of a value, in which integers are BigInts and floats are numbers.
 *
 * @param {JsonValue} value
 * @returns {string} ASCII
 */
export function canonicalJson(value) {
  if (typeof value === "number") {
    return floatText(value);
  }
  if (typeof value === "string") {
    return stringText(value);
  }
  if (Array.isArray(value)) {
    return `[${value.map(canonicalJson).join(",")}]`;
  }
  if (typeof value === "object" && value !== null) {
    const fields = Object.keys(value).sort(byCodePoints);
    return `{${fields.map((key) => `${stringText(key)}:${canonicalJson(value[key])}`).join(",")}}`;
  }
  return String(value); // an integer, true, false or null
}

/**
 * Return the fewest digits that give the same float64, in the form of spec/bundle.md: `3.0`, `1e-05`.
 *
 * @param {number} value finite
 * @returns {string}
 */
function floatText(value) {
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  const [mantissa, exponentText] = Math.abs(value).toExponential().split("e");
  const digits = mantissa.replace(".", "");
  const exponent = Number(exponentText);
  if (exponent < EXPONENT_BELOW || exponent >= EXPONENT_FROM) {
    const exponentDigits = String(Math.abs(exponent)).padStart(2, "0");
    return `${sign}${mantissa}e${exponent < 0 ? "-" : "+"}${exponentDigits}`;
  }
  if (exponent < 0) {
    return `${sign}0.${"0".repeat(-exponent - 1)}${digits}`;
  }
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  return `${sign}${whole}.${digits.slice(exponent + 1) || "0"}`;
}

/**
 * `JSON.stringify` has the escapes of the canonical form, but leaves most other characters as they are.
 *
 * @param {string} text
 */
function stringText(text) {
  return JSON.stringify(text).replace(BEYOND_TILDE, (unit) => {
    return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/**
 * Compare strings by code points. JavaScript's own order is that of UTF-16 units, which differs above U+FFFF.
 *
 * @param {string} one
 * @param {string} other
 */
function byCodePoints(one, other) {
  const points = [...one];
  const others = [...other];
  const shared = Math.min(points.length, others.length);
  for (let index = 0; index < shared; index++) {
    if (points[index] !== others[index]) {
      return Number(points[index].codePointAt(0)) - Number(others[index].codePointAt(0));
    }
  }
  return points.length - others.length;
}
