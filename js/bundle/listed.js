import { shown } from "../errors.js";

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
