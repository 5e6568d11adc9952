/** The errors that fmae-edge throws for bad data, a bad file or a bad bundle. */

/** The base class of all errors of fmae-edge. */
export class FmaeError extends Error {
  get name() {
    return this.constructor.name;
  }
}

/** A bundle that is incomplete, altered, or made for another version of the format. */
export class BundleError extends FmaeError {}

/** A lack of memory. */
export class ResourceError extends FmaeError {}
