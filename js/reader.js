/** The reader of .fmae files without graphs: symbols, lossless images, names and descriptions. */

export { Prior } from "./entropy/prior.js";
export { decodeSymbols, encodeSymbols } from "./entropy/symbol_coder.js";
export { ArgumentError, BundleError, FmaeError, InputError, ResourceError } from "./errors.js";
export { describeFmae, isFmae, parseFmae, writeFmae } from "./format/fmae_file.js";
