/**
 * Check a graph before anything runs it: its ports, each operator, and the resources needed for one image.
 *
 * The graphs of bundles are chains: each operator takes the result of the previous operator, and constants. So the
 * shape of every result follows from that of the input, and so do the memory and the multiply-adds.
 *
 * Hashes do not protect from the maker of a bundle. So a graph may need at most a multiple of what the default
 * bundle's graphs need for images of its size.
 */

import { BundleError, listed, shown } from "../errors.js";
import { FLOAT, UINT8, product, readGraph } from "./onnx_file.js";
import { RefusedError } from "./onnx_message.js";
import { MalformedError } from "./onnx_wire.js";
import { Call, sameShape } from "./operator_call.js";
import { ruleOf } from "./operators.js";

const CHANNEL_BLOCK = 16; // engines may pad the channels of float images to a multiple of this
// Small images need more per pixel, so they may have as much as those of 28x28 with 64 latents
const LEAST_SIZE = 1024;
const MAX_OPERATORS = 256;

/**
 * One operator of a checked graph: what it takes and gives for one image.
 *
 * @typedef {{ operator: string, call: Call, gives: Value }} Step
 *
 * @typedef {import("./onnx_file.js").Graph} Graph
 * @typedef {import("./onnx_file.js").Port} Port
 * @typedef {import("./operator_call.js").Value} Value
 */

/**
 * Resources that a graph needs for one image, or the limits on them.
 *
 * @typedef {object} Needs
 * @property {number} valuesAtOnce in the result of one operator
 * @property {number} values in the results of all operators
 * @property {number} multiplyAdds
 * @property {number} weights numbers in the file
 */

/** @type {[keyof Needs, string][]} */
const NEEDS = [
  ["valuesAtOnce", "values at once"],
  ["values", "values"],
  ["multiplyAdds", "multiply adds"],
  ["weights", "weights"],
];

/**
 * Return the limits of a graph for images of `pixels` values, counting all channels, and `latents` latents.
 *
 * @param {number} pixels
 * @param {number} latents
 * @returns {Needs}
 */
function mostNeeds(pixels, latents) {
  const size = Math.max(pixels + latents, LEAST_SIZE);
  return {
    valuesAtOnce: 128 * size,
    values: 640 * size,
    multiplyAdds: 160_000 * size + 128 * pixels * latents,
    weights: 1_500_000 + 64 * pixels * latents,
  };
}

/**
 * Return the graph in a serialised model; its constants are views of `bytes`.
 *
 * @param {Uint8Array} bytes
 * @param {string} [where] names the graph in messages
 * @returns {Graph}
 * @throws {BundleError} if it is not an ONNX graph, or has parts that no bundle may have
 */
export function parseGraph(bytes, where = "the graph") {
  try {
    return readGraph(bytes);
  } catch (error) {
    if (error instanceof RefusedError) {
      throw new BundleError(`${where} has ${error.message}, which is not allowed in the graph of a bundle`);
    }
    if (error instanceof MalformedError) {
      throw new BundleError(`${where} is not an ONNX graph`);
    }
    throw error;
  }
}

/**
 * Return the operators of a graph, in order, if it is one that a bundle may have.
 *
 * @param {Graph} graph
 * @param {object} expected
 * @param {number[]} expected.image channels, height, width
 * @param {number} expected.latent the number of latents
 * @param {"encoder" | "decoder"} expected.kind
 * @param {string} [expected.where] names the graph in messages
 * @returns {Step[]}
 * @throws {BundleError} if it has other ports or other operators, or needs too much for an image
 */
export function checkGraph(graph, { image, latent, kind, where = "the graph" }) {
  const [takes, gives] = kind === "encoder" ? ["image", "latent"] : ["latent", "image"];
  const [shape, resultShape] = kind === "encoder" ? [image, [latent]] : [[latent], image];
  const start = port(graph.inputs, takes, shape, where);
  const end = port(graph.outputs, gives, resultShape, where);
  if (graph.constants.has(takes)) {
    throw new BundleError(`${where} has a constant with the name of its input, '${takes}'`);
  }
  if (graph.nodes.length > MAX_OPERATORS) {
    const count = graph.nodes.length;
    throw new BundleError(`${where} has ${count} operators; a bundle may have at most ${MAX_OPERATORS}`);
  }
  const { steps, name, value, needs } = walk(graph, takes, start, where);
  if (name !== gives || value.dtype !== end.dtype || !sameShape(value.shape, end.shape)) {
    const expected = `'${gives}' ${described(end)}`;
    throw new BundleError(
      `${where}: its last operator returns ${shown(name, 60)} ${described(value)}, expected ${expected}`,
    );
  }
  requireWithin(needs, mostNeeds(product(image), latent), where);
  return steps;
}

/**
 * @param {Needs} needs
 * @param {Needs} most
 * @param {string} where
 */
function requireWithin(needs, most, where) {
  for (const [need, name] of NEEDS) {
    if (needs[need] > most[need]) {
      throw new BundleError(
        `${where} needs ${needs[need]} ${name} for one image, more than the ${most[need]} allowed for images of ` +
          "this size",
      );
    }
  }
}

/**
 * Return the input or output of a graph, if it has the name and shape that the manifest needs.
 *
 * @param {Port[]} ports
 * @param {string} name
 * @param {number[]} shape
 * @param {string} where
 * @returns {Value}
 */
function port(ports, name, shape, where) {
  const [only] = ports;
  if (ports.length !== 1 || only.name !== name || !sameShape(only.shape, [null, ...shape])) {
    const actual = ports.map(
      (one) =>
        `${shown(one.name, 60)} ${listed(
          one.shape.map((side) => side ?? "n"),
          60,
        )}`,
    );
    const expected = `'${name}' ${listed(["n", ...shape])}`;
    throw new BundleError(`${where} has ${listed(actual)} where the manifest needs (${expected})`);
  }
  const dtypes = name === "image" ? [FLOAT, UINT8] : [FLOAT];
  if (!dtypes.includes(only.dtype)) {
    const expected = name === "image" ? "float32 or uint8" : "float32";
    throw new BundleError(`${where}: ${name} has ONNX type ${only.dtype}, expected ${expected}`);
  }
  return { dtype: only.dtype, shape };
}

/**
 * Return the operators, the name of the last result, the result, and the needs of all operators for one image.
 *
 * @param {Graph} graph
 * @param {string} input
 * @param {Value} start
 * @param {string} where
 */
function walk(graph, input, start, where) {
  const { constants, nodes } = graph;
  const unread = new Set(constants.keys());
  /** @type {Step[]} */
  const steps = [];
  let [name, value] = [input, start];
  let [valuesAtOnce, values, multiplyAdds] = [0, 0, 0];
  for (const [number, node] of nodes.entries()) {
    try {
      const rule = ruleOf(node.operator);
      const { call, output } = read(node, name, value, constants);
      const result = rule(call);
      if (result.value.shape.some((side) => side < 1)) {
        throw new RefusedError("its result is empty");
      }
      node.inputs.forEach((one) => unread.delete(one));
      [name, value] = [output, result.value];
      multiplyAdds += result.multiplyAdds;
      steps.push({ operator: node.operator, call, gives: value });
    } catch (error) {
      if (error instanceof RefusedError) {
        const operator = shown(node.operator, 60);
        throw new BundleError(`${where}: operator ${number} (${operator}) is refused: ${error.message}`);
      }
      throw error;
    }
    valuesAtOnce = Math.max(valuesAtOnce, storedNumbers(value));
    values += storedNumbers(value);
  }
  if (unread.size > 0) {
    const [first] = [...unread].sort();
    throw new BundleError(`${where} has constants that no operator uses, for example ${shown(first, 60)}`);
  }
  const weights = [...constants.values()].reduce((sum, { shape }) => sum + product(shape), 0);
  return { steps, name, value, needs: { valuesAtOnce, values, multiplyAdds, weights } };
}

/**
 * Return an operator with its inputs, and the name of its result.
 *
 * @param {import("./onnx_file.js").Node} node
 * @param {string} name
 * @param {Value} value
 * @param {Graph["constants"]} constants
 */
function read(node, name, value, constants) {
  const [output] = node.outputs;
  if (node.inputs[0] !== name || node.outputs.length !== 1) {
    throw new RefusedError("it must take the result of the operator before it, and have one output");
  }
  if (constants.has(output) || output === name || output === "") {
    throw new RefusedError("its output name is already used");
  }
  const given = node.inputs.slice(1).map((other) => {
    const constant = other === "" ? null : constants.get(other);
    if (constant === undefined) {
      throw new RefusedError(`${shown(other, 60)} is missing`);
    }
    return constant;
  });
  return { call: new Call(value, given, node.attributes), output };
}

/**
 * Return how many values an engine may store for a result.
 *
 * @param {Value} value
 */
function storedNumbers({ dtype, shape }) {
  if (dtype === FLOAT && shape.length === 3) {
    const [channels, height, width] = shape;
    return Math.ceil(channels / CHANNEL_BLOCK) * CHANNEL_BLOCK * height * width;
  }
  return product(shape);
}

/** @param {Value} value */
function described({ dtype, shape }) {
  return `of type ${dtype} and shape ${listed(shape)}`;
}
