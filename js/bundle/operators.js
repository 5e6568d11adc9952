/**
 * The operators that a bundle's graphs may contain: the result of each for one image, and its multiply-adds.
 *
 * Every operator here takes the result of the previous operator, and constants. Its attributes are restricted to
 * those that export writes: other strides, dilations or output shapes could need any amount of memory. Its
 * constants must have exactly the type and shape that it needs.
 */

import { listed, shown } from "../errors.js";
import { conv, convTranspose, gemm, qgemm, qlinearConv } from "./convolution_rules.js";
import { FLOAT, UINT8 } from "./onnx_file.js";
import { RefusedError } from "./onnx_message.js";
import { EITHER, LEVELS, REAL, result, sameShape, scalarQuantiser } from "./operator_call.js";
import { depthToSpace, flatten, pad, pool, reshape, resize, slice, transpose } from "./shape_rules.js";

/**
 * @typedef {import("./operator_call.js").Call} Call
 * @typedef {import("./operator_call.js").Expected} Expected
 * @typedef {import("./operator_call.js").Rule} Rule
 * @typedef {import("./onnx_file.js").Attribute} Attribute
 * @typedef {Record<string, (setting: Attribute) => boolean>} Settings
 */

/**
 * Return the rule of an operator, which also checks its attributes.
 *
 * @param {string} operator
 * @returns {Rule}
 * @throws {RefusedError} if bundles may not use it; so does the rule, for a constant or an attribute that export
 *   does not write
 */
export function ruleOf(operator) {
  const known = OPERATORS.get(operator);
  if (known === undefined) {
    throw new RefusedError("bundles may not use this operator");
  }
  const [rule, settings] = known;
  return (call) => {
    for (const [name, setting] of call.attributes) {
      if (!Object.hasOwn(settings, name) || !settings[name](setting)) {
        throw new RefusedError(`its attribute ${shown(name, 60)} is ${listed(setting, 60)}`);
      }
    }
    return rule(call);
  };
}

/**
 * Return the rule of an operator that keeps type and shape, and takes these constants.
 *
 * @param {readonly number[]} dtypes
 * @param {(call: Call) => Expected[]} [constants]
 * @returns {Rule}
 */
function elementwise(dtypes, constants = () => []) {
  return (call) => {
    call.takes(dtypes);
    call.constants(...constants(call));
    return { value: call.value, multiplyAdds: 0 };
  };
}

/** @type {Rule} */
function cast(call) {
  call.constants();
  return result(Number(call.attribute("to")), call.takes(EITHER));
}

/**
 * Quantise with one scale for all numbers, or with one scale per entry of the first axis.
 *
 * @type {Rule}
 */
function quantize(call) {
  const shape = call.takes(REAL);
  const [scale, zeroPoint] = call.pair();
  const levels = zeroPoint !== null && LEVELS.includes(zeroPoint.dtype) ? zeroPoint.dtype : UINT8;
  const sizes = scale !== null && scale.shape.length > 0 ? shape.slice(0, 1) : [];
  call.constants([FLOAT, sizes], [levels, sizes]);
  return result(levels, shape);
}

/** @type {Rule} */
function dequantize(call) {
  call.constants(...scalarQuantiser(call));
  return result(FLOAT, call.takes(LEVELS));
}

const isList = Array.isArray;
/** @param {Attribute} setting */
const isNumber = (setting) => typeof setting === "number";

/**
 * @param {...Attribute} allowed
 * @returns {(setting: Attribute) => boolean}
 */
function is(...allowed) {
  return (setting) =>
    allowed.some((one) => one === setting || (isList(one) && isList(setting) && sameShape(one, setting)));
}

/** @type {Settings} */
const NO_PADS = { auto_pad: is("NOTSET"), dilations: is([1, 1]) };
/** @type {Settings} */
const CONVOLUTION = { ...NO_PADS, kernel_shape: isList, pads: isList, strides: is([1, 1]), group: is(1) };
/** @type {Settings} */
const POOL = { kernel_shape: is([2, 2]), strides: is([2, 2]) };
/** @type {Settings} */
const UPSAMPLING = {
  mode: is("nearest"),
  nearest_mode: is("floor"),
  coordinate_transformation_mode: is("asymmetric"),
  keep_aspect_ratio_policy: is("stretch"),
  antialias: is(0),
  exclude_outside: is(0),
  cubic_coeff_a: isNumber,
  extrapolation_value: isNumber,
};

/**
 * Every operator that export writes, with its rule and its attributes.
 *
 * @type {Map<string, [Rule, Settings]>}
 */
const OPERATORS = new Map([
  ["Cast", [cast, { to: is(...EITHER) }]],
  [
    "Clip",
    [
      elementwise(REAL, () => [
        [FLOAT, []],
        [FLOAT, []],
      ]),
      {},
    ],
  ],
  ["Conv", [conv, CONVOLUTION]],
  ["ConvTranspose", [convTranspose, { ...CONVOLUTION, output_padding: is([0, 0]) }]],
  ["DepthToSpace", [depthToSpace, { blocksize: is(2, 4), mode: is("DCR") }]],
  ["DequantizeLinear", [dequantize, {}]],
  ["Flatten", [flatten, { axis: is(1) }]],
  ["Floor", [elementwise(REAL), {}]],
  ["Gemm", [gemm, { alpha: is(1), beta: is(1), transA: is(0), transB: is(0, 1) }]],
  [
    "MaxPool",
    [pool(0, REAL), { ...POOL, ...NO_PADS, pads: is([0, 0, 0, 0]), ceil_mode: is(0), storage_order: is(0) }],
  ],
  ["Mul", [elementwise(REAL, (call) => [[FLOAT, [1, ...call.value.shape]]]), {}]],
  ["Pad", [pad, { mode: is("edge") }]],
  ["QuantizeLinear", [quantize, {}]],
  ["Relu", [elementwise(REAL), {}]],
  ["Reshape", [reshape, { allowzero: is(0, 1) }]],
  ["Resize", [resize, UPSAMPLING]],
  ["Sigmoid", [elementwise(REAL), {}]],
  ["Slice", [slice, {}]],
  ["Sub", [elementwise(REAL, () => [[FLOAT, []]]), {}]],
  ["Transpose", [transpose, { perm: isList }]],
  ["com.microsoft.NhwcMaxPool", [pool(2, LEVELS), POOL]],
  ["com.microsoft.QGemm", [qgemm, {}]],
  ["com.microsoft.QLinearConv", [qlinearConv, { ...CONVOLUTION, channels_last: is(1) }]],
  [
    "com.microsoft.QLinearMul",
    [
      elementwise(LEVELS, (call) => {
        const quantiser = scalarQuantiser(call);
        return [...quantiser, [call.value.dtype, [1, ...call.value.shape]], ...quantiser, ...quantiser];
      }),
      {},
    ],
  ],
  [
    "com.microsoft.QLinearSigmoid",
    [elementwise(LEVELS, (call) => [...scalarQuantiser(call), ...scalarQuantiser(call)]), {}],
  ],
]);
