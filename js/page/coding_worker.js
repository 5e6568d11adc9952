/**
 * The thread of the codec: large images would block the page for longer than a person notices.
 *
 * It gets { id, method, args } and answers { id, result } or { id, failure }. The methods are "load", then those
 * of Coding, and "compareFormats".
 */

import { compareFormats } from "./browser_codecs.js";
import { Coding } from "./coding.js";
import { describeError } from "./sent_errors.js";

/** @typedef {{ id: number, method: string, args: any[] }} Request */

/** @type {Promise<Coding> | null} */
let loading = null;

self.addEventListener("message", async ({ data }) => {
  const { id, method, args } = /** @type {Request} */ (data);
  try {
    self.postMessage({ id, result: await answer(method, args) });
  } catch (error) {
    self.postMessage({ id, failure: describeError(error) });
  }
});

/**
 * @param {string} method
 * @param {any[]} args
 * @returns {Promise<unknown>}
 */
async function answer(method, args) {
  if (method === "load") {
    loading = Coding.load(args[0]);
    return (await loading).describe();
  }
  if (method === "compareFormats") {
    return compareFormats(args[0], args[1]);
  }
  const coding = /** @type {any} */ (await loading);
  return coding[method](...args);
}
