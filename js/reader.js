/** The reader of .fmae files without graphs: symbols, lossless images, names and descriptions. */

export { ArgumentError, BundleError, FmaeError, InputError, ResourceError } from "./errors.js";
