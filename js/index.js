/** The public names of fmae-edge. */

export { ArgumentError, BundleError, FmaeError, InputError, ResourceError } from "./errors.js";
