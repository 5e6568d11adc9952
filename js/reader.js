/** The reader of .fmae files and packets without graphs: symbols, lossless images, names and descriptions. */

export { Prior } from "./entropy/prior.js";
export { decodeSymbols, encodeSymbols } from "./entropy/symbol_coder.js";
export { ArgumentError, BundleError, FmaeError, InputError, ResourceError } from "./errors.js";
export { describeFmae, isFmae, parseFmae, writeFmae } from "./format/fmae_file.js";
export { decodeLossless } from "./format/lossless.js";
export { parsePacket } from "./format/packet.js";
export { PacketSet } from "./format/packet_set.js";
