/** Send errors from one thread to another, which loses their class. */

import { ArgumentError, BundleError, FmaeError, InputError, ResourceError } from "../errors.js";

const KINDS = { FmaeError, InputError, BundleError, ResourceError };

/** @typedef {{ kind: string, message: string, argument?: string, problem?: string }} SentError */

/**
 * @param {unknown} error
 * @returns {SentError}
 */
export function describeError(error) {
  if (error instanceof ArgumentError) {
    return { kind: error.name, message: error.message, argument: error.argument, problem: error.problem };
  }
  const { name: kind, message } = error instanceof Error ? error : { name: "", message: String(error) };
  return { kind, message };
}

/**
 * Return the error that was described.
 *
 * @param {SentError} sent
 * @returns {Error}
 */
export function errorOf({ kind, message, argument, problem }) {
  if (argument !== undefined && problem !== undefined) {
    return new ArgumentError(argument, problem);
  }
  const Kind = KINDS[/** @type {keyof typeof KINDS} */ (kind)];
  return Kind ? new Kind(message) : new Error(`${kind}: ${message}`);
}
