/**
 * For tests in Python: call a codec. Standard input is JSON: the `bundle` (a folder), the `precision`, and
 * `calls`, each a list of the name of a method and its arguments. Print a JSON list with the result or the error
 * of each call.
 *
 * In JSON, `{"bytes": base64}` stands for a Uint8Array, `{"floats": base64}` for a Float32Array, `{"integers":
 * [...]}` for an Int32Array, and `{"infinity": true}` for infinity. They may be nested: images have their `data`
 * in bytes.
 */

import { json } from "node:stream/consumers";

import { Codec } from "../codec.js";

/** @param {string} _key @param {any} value */
function revive(_key, value) {
  if (typeof value?.bytes === "string") {
    return Uint8Array.from(Buffer.from(value.bytes, "base64"));
  }
  if (typeof value?.floats === "string") {
    return new Float32Array(Uint8Array.from(Buffer.from(value.floats, "base64")).buffer);
  }
  if (Array.isArray(value?.integers)) {
    return Int32Array.from(value.integers);
  }
  return value?.infinity ? Infinity : value;
}

/** @param {string} _key @param {any} value */
function plain(_key, value) {
  if (value instanceof Uint8Array) {
    return { bytes: Buffer.from(value).toString("base64") };
  }
  if (value instanceof Float32Array) {
    return { floats: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64") };
  }
  return value instanceof Int32Array ? { integers: [...value] } : value;
}

const { bundle, precision, calls } = JSON.parse(JSON.stringify(await json(process.stdin)), revive);
const codec = await Codec.load(bundle, { precision });
const results = [];
for (const [name, ...given] of calls) {
  const [target, method] = name.startsWith("packets.") ? [codec.packets, name.slice(8)] : [codec, name];
  try {
    results.push({ result: await /** @type {any} */ (target)[method](...given) });
  } catch (error) {
    const { name: kind, message } = /** @type {Error} */ (error);
    results.push({ error: kind, message });
  }
}
await codec.close();
process.stdout.write(JSON.stringify(results, plain));
