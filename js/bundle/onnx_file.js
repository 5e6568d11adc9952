/**
 * Read the plain ONNX graphs that bundles contain, and refuse all others.
 *
 * Fields of ONNX (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto) that our graphs do not use are refused,
 * not skipped. Among them are tensors in other files, which no hash covers, functions, subgraphs, sparse tensors.
 */

import { listed, shown } from "../errors.js";
import { MessageReader, RefusedError } from "./onnx_message.js";
import { all, asBytes, asNumber, bytesOf, numberOf, text, textOf } from "./onnx_message.js";

/** TensorProto.DataType */
export const FLOAT = 1;
export const UINT8 = 2;
export const INT8 = 3;
export const INT32 = 6;
export const INT64 = 7;

/** @type {Map<number, number>} */
const ITEM_BYTES = new Map([
  [FLOAT, 4],
  [UINT8, 1],
  [INT8, 1],
  [INT32, 4],
  [INT64, 8],
]);
const MICROSOFT = "com.microsoft"; // the domain of onnxruntime's own operators
/** @type {Map<string, number>} In later versions, an operator may mean something else. */
const OPSETS = new Map([
  ["", 18],
  [MICROSOFT, 1],
]);
const IR_VERSIONS = { first: 4, last: 10 }; // before version 4, every constant is also an input
export const MAX_RANK = 6;
const MAX_OTHER_BYTES = 1 << 16; // besides the data of constants; the default graphs have 3,000, deep ones 8,000

/** AttributeProto.type, and the field that then holds the value: a float, an integer, bytes, integers. */
const VALUE_FIELDS = new Map([
  [1, 2],
  [2, 3],
  [3, 4],
  [7, 8],
]);

/**
 * An input or output of the graph; a dimension of any length is null.
 *
 * @typedef {{ name: string, dtype: number, shape: (number | null)[] }} Port
 *
 * A tensor in the file.
 * @typedef {{ dtype: number, shape: number[], data: Uint8Array }} Constant
 *
 * A number, a text of one character per byte, or a list of integers.
 * @typedef {number | string | number[]} Attribute
 *
 * One operator; the names of onnxruntime's own operators begin with "com.microsoft.".
 * @typedef {{ operator: string, inputs: string[], outputs: string[], attributes: Map<string, Attribute> }} Node
 *
 * A graph as it is in the file; the meaning of its nodes is not checked yet.
 * @typedef {{ inputs: Port[], outputs: Port[], nodes: Node[], constants: Map<string, Constant> }} Graph
 */

/**
 * Return the graph in a serialised ModelProto; its constants are views of `bytes`.
 *
 * @param {Uint8Array} bytes
 * @returns {Graph}
 * @throws {RefusedError} if it has parts that are not allowed in a bundle
 * @throws {import("./onnx_wire.js").MalformedError} if it is not a ModelProto
 */
export function readGraph(bytes) {
  return new Reader().model(bytes);
}

class Reader extends MessageReader {
  /** @param {Uint8Array} bytes */
  model(bytes) {
    const parsed = this.fields(bytes, "Model");
    const graph = this.graph(bytesOf(parsed, 7), bytes.length);
    const version = numberOf(parsed, 1);
    if (!Number.isInteger(version) || version < IR_VERSIONS.first || version > IR_VERSIONS.last) {
      throw new RefusedError(`ONNX IR version ${version}`);
    }
    const domains = new Set(all(parsed, 8).map((entry) => this.operatorSet(entry)));
    for (const { operator } of graph.nodes) {
      const domain = operator.slice(0, Math.max(operator.lastIndexOf("."), 0));
      if (!domains.has(domain)) {
        throw new RefusedError(`operators of ${domain ? shown(domain, 60) : "ONNX"} without a version`);
      }
    }
    return graph;
  }

  /**
   * Return the domain of a set of operators, whose version must be the known one.
   *
   * @param {number | Uint8Array} entry
   */
  operatorSet(entry) {
    const parsed = this.fields(entry, "OperatorSetId");
    const domain = parsed.has(1) ? textOf(parsed, 1) : "";
    const version = parsed.has(2) ? numberOf(parsed, 2) : 0;
    if (OPSETS.get(domain) !== version) {
      throw new RefusedError(`operators of ${domain ? shown(domain, 60) : "ONNX"} version ${version}`);
    }
    return domain;
  }

  /**
   * @param {Uint8Array} bytes
   * @param {number} fileSize
   * @returns {Graph}
   */
  graph(bytes, fileSize) {
    const parsed = this.fields(bytes, "Graph");
    const tensors = all(parsed, 5).map((entry) => this.fields(entry, "Tensor"));
    const parts = tensors.flatMap((tensor) => all(tensor, 9));
    const data = parts.reduce((/** @type {number} */ sum, part) => sum + asBytes(part).length, 0);
    if (fileSize - data > MAX_OTHER_BYTES) {
      throw new RefusedError(`${fileSize - data} bytes in addition to the data of its constants`);
    }
    const constants = new Map(tensors.map(constant));
    if (constants.size < tensors.length) {
      throw new RefusedError("two constants with the same name");
    }
    return {
      inputs: all(parsed, 11).map((entry) => this.port(entry)),
      outputs: all(parsed, 12).map((entry) => this.port(entry)),
      nodes: all(parsed, 1).map((entry) => this.node(entry)),
      constants,
    };
  }

  /**
   * @param {number | Uint8Array} entry
   * @returns {Node}
   */
  node(entry) {
    const parsed = this.fields(entry, "Node");
    const domain = parsed.has(7) ? textOf(parsed, 7) : "";
    const pairs = all(parsed, 5).map((attribute) => this.attribute(attribute));
    const attributes = new Map(pairs);
    if (attributes.size < pairs.length) {
      throw new RefusedError("two attributes with the same name");
    }
    const operator = textOf(parsed, 4);
    return {
      operator: domain ? `${domain}.${operator}` : operator,
      inputs: all(parsed, 1).map(text),
      outputs: all(parsed, 2).map(text),
      attributes,
    };
  }

  /**
   * @param {number | Uint8Array} entry
   * @returns {[string, Attribute]}
   */
  attribute(entry) {
    const parsed = this.fields(entry, "Attribute");
    const name = textOf(parsed, 1);
    const kind = numberOf(parsed, 20);
    const field = VALUE_FIELDS.get(kind);
    if (field === undefined || [...parsed.keys()].some((number) => ![1, 13, 20, field].includes(number))) {
      throw new RefusedError(`an attribute ${shown(name, 60)} of type ${kind}`);
    }
    if (field === 8) {
      return [name, all(parsed, 8).map(asNumber)];
    }
    if (field === 3) {
      return [name, numberOf(parsed, 3)];
    }
    const bytes = bytesOf(parsed, field);
    return [name, field === 2 ? floats(bytes)[0] : String.fromCharCode(...bytes.subarray(0, 1000))];
  }

  /**
   * @param {number | Uint8Array} entry
   * @returns {Port}
   */
  port(entry) {
    const parsed = this.fields(entry, "ValueInfo");
    const tensor = this.fields(bytesOf(this.fields(bytesOf(parsed, 2), "Type"), 1), "Type.Tensor");
    const dimensions = all(this.fields(bytesOf(tensor, 2), "TensorShape"), 1);
    const shape = dimensions.map((dimension) => {
      const length = this.fields(dimension, "TensorShape.Dimension");
      return length.has(1) ? numberOf(length, 1) : null;
    });
    return { name: textOf(parsed, 1), dtype: numberOf(tensor, 1), shape };
  }
}

/**
 * Return the name and the tensor in the fields of a TensorProto.
 *
 * @param {import("./onnx_message.js").Message} parsed
 * @returns {[string, Constant]}
 */
function constant(parsed) {
  const name = textOf(parsed, 8);
  const dtype = numberOf(parsed, 2);
  const shape = all(parsed, 1).map(asNumber);
  const data = parsed.has(9) ? bytesOf(parsed, 9) : new Uint8Array();
  const item = ITEM_BYTES.get(dtype);
  if (item === undefined || shape.length > MAX_RANK || shape.some((side) => side < 1)) {
    throw new RefusedError(`a constant ${shown(name, 60)} of type ${dtype} and shape ${listed(shape, 60)}`);
  }
  if (product(shape) * item !== data.length) {
    throw new RefusedError(
      `a constant ${shown(name, 60)} of shape ${listed(shape, 60)} with ${data.length} bytes`,
    );
  }
  return [name, { dtype, shape, data }];
}

/** @param {readonly number[]} shape */
export function product(shape) {
  return shape.reduce((sum, side) => sum * side, 1);
}

/**
 * Return the numbers of a FLOAT tensor. Its bytes may begin anywhere in a file, so they are copied.
 *
 * @param {Uint8Array} data
 */
export function floats(data) {
  return new Float32Array(new Uint8Array(data).buffer);
}

/**
 * Return the numbers of an INT64 tensor; those of more than 53 bits are the nearest doubles.
 *
 * @param {Uint8Array} data
 */
export function integers(data) {
  return Array.from(new BigInt64Array(new Uint8Array(data).buffer), Number);
}
