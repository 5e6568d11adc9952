/**
 * Return the text of a value for a message, cut to about `most` characters: strings in single quotes, lists in
 * parentheses.
 *
 * @param {unknown} value
 * @param {number} [most]
 * @returns {string}
 */
export function shown(value, most = 200) {
  if (typeof value === "string") {
    const quoted = `'${JSON.stringify(value.slice(0, most)).slice(1, -1)}'`;
    return value.length > most ? `${quoted}...` : quoted;
  }
  const text = Array.isArray(value) ? `(${value.slice(0, most).map(String).join(", ")})` : String(value);
  return text.length > most ? `${text.slice(0, most - 3)}...` : text;
}
