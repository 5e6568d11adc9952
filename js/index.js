/** The public names of fmae-edge. */

export { Bundle } from "./bundle/bundle.js";
export { Codec } from "./codec.js";
export { ArgumentError, BundleError, FmaeError, InputError, ResourceError } from "./errors.js";
export { toImageData } from "./images.js";

/** @typedef {import("./bundle/bundle_source.js").BundleLike} BundleLike */
/** @typedef {import("./codec.js").FmaeLike} FmaeLike */
/** @typedef {import("./coding_options.js").CompressOptions} CompressOptions */
/** @typedef {import("./coding_options.js").DecompressOptions} DecompressOptions */
/** @typedef {import("./engine/engine.js").CreateEngine} CreateEngine */
/** @typedef {import("./engine/engine.js").Engine} Engine */
/** @typedef {import("./format/fmae_contents.js").FmaeFile} FmaeFile */
/** @typedef {import("./images.js").DecodedImage} DecodedImage */
/** @typedef {import("./images.js").ImageLike} ImageLike */
