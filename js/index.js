/** The public names of fmae-edge. */

export { Bundle } from "./bundle/bundle.js";
export { Codec } from "./codec.js";
export { ArgumentError, BundleError, FmaeError, InputError, ResourceError } from "./errors.js";
export { toImageData } from "./images.js";
