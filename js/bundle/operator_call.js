/**
 * One operator of a graph with its inputs and attributes, and the checks that the rules of operators.js share.
 *
 * Each check throws a RefusedError whose message continues the sentence "operator 3 (Conv) is refused: ...".
 */

import { listed } from "../errors.js";
import { FLOAT, INT64, INT8, MAX_RANK, UINT8, integers } from "./onnx_file.js";
import { RefusedError } from "./onnx_message.js";

/**
 * The result of an operator for one image: the batch stays the first dimension throughout, and is left out.
 *
 * @typedef {{ dtype: number, shape: number[] }} Value
 * @typedef {import("./onnx_file.js").Constant} Constant
 * @typedef {import("./onnx_file.js").Attribute} Attribute
 * @typedef {[dtype: number, shape: number[]]} Expected
 * @typedef {{ value: Value, multiplyAdds: number }} Result
 * @typedef {(call: Call) => Result} Rule
 */

export const REAL = [FLOAT];
export const LEVELS = [UINT8, INT8];
export const EITHER = [FLOAT, UINT8, INT8];

/** An operator with its first input, its other inputs, which are constants, and its attributes. */
export class Call {
  /**
   * @param {Value} value
   * @param {(Constant | null)[]} given null for an input that is left out
   * @param {Map<string, Attribute>} attributes
   */
  constructor(value, given, attributes) {
    this.value = value;
    this.given = given;
    this.attributes = attributes;
  }

  /**
   * Return the shape of the first input, which must have one of these types, and `rank` dimensions if given.
   *
   * @param {readonly number[]} dtypes
   * @param {number} [rank]
   */
  takes(dtypes, rank) {
    const { dtype, shape } = this.value;
    if (!dtypes.includes(dtype) || (rank !== undefined && rank !== shape.length)) {
      throw new RefusedError(`it cannot take an input of type ${dtype} and shape ${listed(shape)}`);
    }
    return shape;
  }

  /**
   * Check that the constants have these types and shapes.
   *
   * @param {...Expected} wanted
   */
  constants(...wanted) {
    const fits =
      this.given.length === wanted.length &&
      this.given.every(
        (one, place) => one !== null && one.dtype === wanted[place][0] && sameShape(one.shape, wanted[place][1]),
      );
    if (!fits) {
      const found = this.given.map((one) => (one ? typed(one.dtype, one.shape) : "none"));
      const expected = wanted.map(([dtype, shape]) => typed(dtype, shape));
      throw new RefusedError(`its constants have types and shapes ${listed(found)}, expected ${listed(expected)}`);
    }
  }

  /**
   * Return the two constants, either of which may be left out.
   *
   * @returns {[Constant | null, Constant | null]}
   */
  pair() {
    if (this.given.length !== 2) {
      throw new RefusedError(`it needs 2 constants, and has ${this.given.length}`);
    }
    return [this.given[0], this.given[1]];
  }

  /**
   * Return an attribute that may not be left out, because its default is not what export writes.
   *
   * @param {string} name
   */
  attribute(name) {
    const setting = this.attributes.get(name);
    if (setting === undefined) {
      throw new RefusedError(`its attribute '${name}' is missing`);
    }
    return setting;
  }

  /**
   * Return an attribute that is a list of integers, if it is there.
   *
   * @param {string} name
   * @param {number[]} otherwise
   * @returns {number[]}
   */
  list(name, otherwise) {
    const setting = this.attributes.get(name);
    return Array.isArray(setting) ? setting : otherwise;
  }

  /**
   * Return the shape of the constant in that place, which must have `rank` dimensions.
   *
   * @param {number} place
   * @param {number} rank
   */
  matrix(place, rank) {
    const constant = this.given[place];
    if (!constant || constant.shape.length !== rank) {
      throw new RefusedError(`its weights do not have ${rank} dimensions`);
    }
    return constant.shape;
  }

  /**
   * Return the numbers of the constant in that place, a vector of at most `perDimension` per dimension.
   *
   * @param {number} place
   * @param {number} [perDimension]
   */
  integers(place, perDimension = 1) {
    const constant = this.given[place];
    const most = MAX_RANK * perDimension;
    if (!constant || constant.dtype !== INT64 || constant.shape.length !== 1 || constant.shape[0] > most) {
      throw new RefusedError("one of its constants must be a short vector of INT64 numbers");
    }
    return integers(constant.data);
  }
}

/**
 * @param {boolean} holds
 * @param {string} problem
 * @returns {asserts holds}
 */
export function require(holds, problem) {
  if (!holds) {
    throw new RefusedError(problem);
  }
}

/**
 * @param {readonly unknown[]} first
 * @param {readonly unknown[]} second
 */
export function sameShape(first, second) {
  return first.length === second.length && first.every((side, axis) => side === second[axis]);
}

/**
 * @param {number} dtype
 * @param {number[]} shape
 * @param {number} [multiplyAdds]
 * @returns {Result}
 */
export function result(dtype, shape, multiplyAdds = 0) {
  return { value: { dtype, shape }, multiplyAdds };
}

/**
 * Return the types and shapes of a scale and a zero point for the first input.
 *
 * @param {Call} call
 * @returns {Expected[]}
 */
export function scalarQuantiser(call) {
  return [
    [FLOAT, []],
    [call.value.dtype, []],
  ];
}

/**
 * @param {number} dtype
 * @param {number[]} shape
 */
function typed(dtype, shape) {
  return `${dtype} ${listed(shape)}`;
}
