"""Small encoders of random weights, which together have every operator that bundles may use."""

from functools import cache

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from fmae_edge.runtime.bundle.onnx_file import FLOAT, INT8, UINT8, read_graph
from fmae_edge.runtime.bundle.operator_call import Value
from fmae_edge.runtime.bundle.operators import apply
from tests.js.own_engine import Case

IMAGES = 3
RANDOM = np.random.default_rng(19)

# Calls: the name of an operator, its constants (None is one left out), and its attributes
TO_FLOAT = ("Cast", [], {"to": FLOAT})
LAST = ("Transpose", [], {"perm": [0, 2, 3, 1]})
EDGE = {"mode": "edge"}
UPSAMPLING = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
HALVES = {"kernel_shape": [2, 2], "strides": [2, 2]}


def scalar(value, dtype=np.float32):
    return np.array(value, dtype)


def integers(*values):
    return np.array(values, np.int64)


def reals(*shape):
    return RANDOM.normal(size=shape).astype(np.float32)


def weights(*shape):
    """Return int8 numbers, small enough for products of CPUs that saturate sums of two of them."""
    return RANDOM.integers(-63, 64, shape).astype(np.int8)


def quantiser(scale, zero_point, dtype):
    return [scalar(scale), scalar(zero_point, dtype)]


def signed(dtype):
    """Return calls that make levels of `dtype` of uint8 levels."""
    if dtype is np.uint8:
        return []
    steps = [*quantiser(1.0, 0, np.uint8)], [*quantiser(1.0, -128, np.int8)]
    return [("DequantizeLinear", steps[0], {}), ("QuantizeLinear", steps[1], {})]


def centred(*shape):
    """Return calls that make floats around 0 of levels, each multiplied by another number."""
    return [TO_FLOAT, ("Sub", [scalar(100.25)], {}), ("Mul", [reals(1, *shape) / 64], {})]


def conv(channels, outputs, kernel, pad, operator="Conv"):
    first, second = (outputs, channels) if operator == "Conv" else (channels, outputs)
    constants = [reals(first, second, *kernel), reals(outputs)]
    return operator, constants, {"kernel_shape": kernel, "pads": [pad] * 4}


def qlinear_conv(dtype, channels, outputs, kernel, pad, zero_point=0):
    scales = RANDOM.uniform(0.001, 0.01, outputs).astype(np.float32)
    zero_points = np.full(outputs, zero_point, np.int8)
    low = 0 if dtype is np.uint8 else -128
    constants = [
        *quantiser(0.02, low + 117, dtype),
        *(weights(outputs, channels, *kernel), scales, zero_points),
        *quantiser(0.05, low + 131, dtype),
        RANDOM.integers(-9999, 9999, outputs).astype(np.int32),
    ]
    return "com.microsoft.QLinearConv", constants, {"kernel_shape": kernel, "pads": [pad] * 4, "channels_last": 1}


def qgemm(dtype, inputs, outputs):
    scales = RANDOM.uniform(0.001, 0.01, outputs).astype(np.float32)
    bias = RANDOM.integers(-9999, 9999, outputs).astype(np.int32)
    constants = [*quantiser(0.02, 17, dtype), weights(inputs, outputs), scales, np.zeros(outputs, np.int8), bias]
    return "com.microsoft.QGemm", constants, {}


def float_chains():
    """Yield shapes of images and calls whose results are sums of floats, which may be rounded in another order."""
    for channels, outputs, kernel, pad in [
        *((1, 1, (3, 3), 1), (3, 7, (3, 3), 2), (5, 9, (2, 2), 1), (4, 16, (2, 3), 0), (2, 8, (1, 1), 0)),
        *((8, 17, (3, 1), 0), (16, 3, (1, 3), 0)),
    ]:
        image = (channels, 6, 9)
        for operator in ("Conv", "ConvTranspose"):
            yield image, [*centred(*image), conv(channels, outputs, kernel, pad, operator)]
    image = (3, 5, 7)
    wide = conv(3, 19, (3, 3), 1)
    yield image, [*centred(*image), wide, ("Relu", [], {}), ("MaxPool", [], HALVES), conv(19, 4, (2, 2), 1)]
    yield image, [*centred(*image), wide, ("Clip", [scalar(-0.5), scalar(0.75)], {}), ("Sigmoid", [], {})]
    yield image, [*centred(*image), ("Sigmoid", [], {})]
    for matrix, attributes in (((105, 6), {}), ((13, 105), {"transB": 1})):
        outputs = matrix[1 - attributes.get("transB", 0)]
        gemm = ("Gemm", [reals(*matrix), reals(outputs)], attributes)
        yield image, [*centred(*image), ("Flatten", [], {}), gemm]


def exact_chains():
    """Yield shapes of images and calls whose results have to be equal: no float is a sum of several."""
    image = (3, 5, 7)
    yield image, [*centred(*image), ("Relu", [], {})]
    yield image, [*centred(*image), ("Floor", [], {}), ("Clip", [scalar(-7), scalar(9.5)], {})]
    for dtype, low in ((UINT8, 0), (INT8, -128)):
        limits = ("Clip", [scalar(low), scalar(low + 255)], {})
        yield image, [*centred(*image), limits, ("Cast", [], {"to": dtype}), TO_FLOAT]
    yield image, [("Cast", [], {"to": INT8}), TO_FLOAT]
    yield image, [*centred(*image), ("MaxPool", [], HALVES)]
    yield image, [*centred(*image), ("Resize", [None, np.array([1, 1, 2, 2], np.float32)], UPSAMPLING)]
    yield image, [*centred(*image), ("Pad", [integers(0, 0, 0, 0, 0, 0, 2, 5)], EDGE)]
    yield image, [*centred(*image), ("Slice", [integers(1, -6), integers(9, -1), integers(2, 3)], {})]
    steps = [integers(0), integers(2**62), integers(1), integers(1)]
    yield image, [*centred(*image), ("Slice", steps, {})]
    turned = ("Transpose", [], {"perm": [0, 3, 1, 2]})
    yield image, [*centred(*image), turned, ("Reshape", [integers(-1, 5, 21)], {})]
    for perm in ([0, 2, 1, 4, 3], [0, 4, 3, 2, 1]):
        calls = [("Reshape", [integers(-1, 3, 5, 1, 7)], {}), TO_FLOAT, ("Transpose", [], {"perm": perm})]
        yield image, [*calls, ("Mul", [reals(1, *(np.array([3, 5, 1, 7])[np.array(perm[1:]) - 1]))], {})]
    for block in (2, 4):
        blocks, to_space = (2 * block**2, 3, 5), ("DepthToSpace", [], {"blocksize": block, "mode": "DCR"})
        yield blocks, [*centred(*blocks), to_space]
        yield blocks, [LAST, TO_FLOAT, turned, to_space]
    for dtype, low in ((np.uint8, 0), (np.int8, -128)):
        back = ("DequantizeLinear", quantiser(0.5, low + 100, dtype), {})
        scales = RANDOM.uniform(0.05, 0.1, 3).astype(np.float32)
        zero_points = np.array([low, low + 99, low + 255], dtype)
        yield image, [*centred(*image), ("QuantizeLinear", quantiser(0.013, low + 77, dtype), {}), back]
        yield image, [*centred(*image), ("QuantizeLinear", [scales, zero_points], {}), back]
        for channels in (3, 20):
            pixels = (channels, 6, 5)
            levels = [*signed(dtype), LAST]
            yield pixels, [*levels, ("com.microsoft.NhwcMaxPool", [], HALVES), back]
            yield pixels, [*levels, ("Resize", [None, np.array([1, 2, 2, 1], np.float32)], UPSAMPLING), back]
            yield pixels, [*levels, ("Pad", [integers(0, 0, 0, 0, 0, 3, 1, 0)], EDGE), back]
            sigmoid = [*quantiser(0.04, low + 128, dtype), *quantiser(1 / 255, low, dtype)]
            yield pixels, [*levels, ("com.microsoft.QLinearSigmoid", sigmoid, {}), back]
            factors = RANDOM.integers(low, low + 256, (1, 6, 5, channels)).astype(dtype)
            # With these scales, many products lie in the middle between two levels
            product = [*quantiser(0.5, low + 120, dtype), factors, *quantiser(1 / 128, low + 50, dtype)]
            product += quantiser(1.0, low + 111, dtype)
            yield pixels, [*levels, ("com.microsoft.QLinearMul", product, {}), back]
        for channels, outputs, kernel, pad, zero_point in [
            *((1, 1, (3, 3), 1, 0), (3, 7, (3, 3), 2, 0), (5, 9, (2, 2), 1, 5), (4, 16, (2, 3), 0, 0)),
            *((2, 8, (1, 1), 0, -3), (16, 20, (3, 3), 1, 0)),
        ]:
            pixels = (channels, 6, 9)
            convolution = qlinear_conv(dtype, channels, outputs, kernel, pad, zero_point)
            yield pixels, [*signed(dtype), LAST, convolution, back]
        yield image, [*signed(dtype), ("Flatten", [], {}), qgemm(dtype, 105, 11)]


def encoder(image, calls):
    """Return an encoder of these operators, and the number of its latents."""
    nodes, constants, name = [], [], "image"
    for number, (operator, given, attributes) in enumerate([*calls, ("Flatten", [], {})]):
        names = ["" if constant is None else f"c{number}.{place}" for place, constant in enumerate(given)]
        constants += [numpy_helper.from_array(each, key) for each, key in zip(given, names, strict=True) if key]
        domain, _, kind = operator.rpartition(".")
        output = "latent" if number == len(calls) else f"n{number}"
        nodes.append(helper.make_node(kind, [name, *names], [output], domain=domain, **attributes))
        name = output
    graph, value = read_graph(model(image, 1, nodes, constants)), Value(UINT8, image)
    for node in graph.nodes:
        given = [graph.constants[each] if each else None for each in node.inputs[1:]]
        value, _ = apply(node.operator, value, given, node.attributes)
    (latents,) = value.shape
    return model(image, latents, nodes, constants), latents


def model(image, latents, nodes, constants):
    takes = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", *image])
    gives = helper.make_tensor_value_info("latent", TensorProto.FLOAT, ["n", latents])
    graph = helper.make_graph(nodes, "g", [takes], [gives], constants)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


@cache
def chains():
    """Return each chain as a case, and whether its result has to be equal."""
    found = []
    for chain, exact in [(one, False) for one in float_chains()] + [(one, True) for one in exact_chains()]:
        image, calls = chain
        graph, latents = encoder(image, calls)
        values = RANDOM.integers(0, 256, (IMAGES, *image)).astype(np.uint8)
        found.append((Case(graph, "encoder", image, latents, values), exact, [operator for operator, *_ in calls]))
    return found
