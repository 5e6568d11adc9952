"""Change ONNX graphs as an attacker does: operators, attributes, tensor sizes, nested graphs.

Most results are still protobuf that onnxruntime parses. Needs the `onnx` package.
"""

from collections.abc import Callable
from functools import cache
from random import Random

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from fuzz.hostile_graphs import hostile_decoders

Change = Callable[[bytes], bytes]
MAX_BYTES = 1 << 20


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_OURS = _words("""
    Conv Relu MaxPool Flatten Gemm Reshape DepthToSpace Sigmoid Transpose Slice Resize ConvTranspose Cast Mul Sub
    Add QuantizeLinear DequantizeLinear QLinearConv QLinearMatMul QGemm NhwcMaxPool QLinearSigmoid Clip MatMul
    Concat Greater SpaceToDepth
""")
_OTHERS = _words("""
    ConstantOfShape Range Expand Tile Pad OneHot EyeLike RandomNormal RandomUniformLike Einsum Loop If Scan Gather
    GatherND ScatterND CumSum NonZero Compress Unique TopK Upsample GridSample Constant Identity Shape Size Squeeze
    Unsqueeze Split LSTM GRU NonMaxSuppression RoiAlign MaxUnpool Col2Im DFT STFT StringSplit Where SequenceAt
    SequenceConstruct Optional Multinomial BlackmanWindow FusedConv NhwcConv
""")
_DOMAINS = ("", "ai.onnx", "com.microsoft", "com.microsoft.nchwc", "ai.onnx.ml", "own", "\0")
_NAMES = _words("""
    pads strides dilations group kernel_shape axis axes perm blocksize allowzero mode auto_pad ceil_mode
    storage_order output_shape output_padding transA transB alpha beta to channels_last keepdims value shape body
    coordinate_transformation_mode
""")
_INTEGERS = (
    *(0, 1, 2, 3, 4, 7, 28, 64, 255, 256, 1000, 10_000, 65_536, 1 << 24, 1 << 30, (1 << 31) - 1, 1 << 31),
    *(1 << 40, 1 << 62, (1 << 63) - 1, -1, -2, -64, -(1 << 31), -(1 << 63)),
)
_FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1000.0, 1e-45, 1e30, -1e30, float("inf"), float("nan"))
_STRINGS = (*b"nearest linear cubic floor asymmetric SAME_UPPER VALID CRD DCR".split(), b"", b"\xff")
_INTEGER_TYPES = (TensorProto.INT64, TensorProto.INT32, TensorProto.INT8)


@cache
def _hostile(name: str) -> bytes:
    return hostile_decoders()[name]()


def mutate_graph(content: bytes, change: Change, random: Random) -> bytes:
    """Change one to four things in a graph, or a few bytes. One of sixteen calls starts from a hostile graph."""
    if random.randrange(16) == 0:
        return change(content)
    if random.randrange(16) == 0:
        content = _hostile(random.choice([*hostile_decoders()]))
    try:
        model = onnx.load_from_string(content)
    except DecodeError:
        return change(content)
    for _ in range(random.choice((1, 1, 2, 4))):
        _CHANGES[random.randrange(len(_CHANGES))](model, change, random)
    return model.SerializeToString()


def _node(model: ModelProto, random: Random) -> NodeProto:
    nodes = model.graph.node
    return random.choice(nodes) if nodes else nodes.add()


def _operator(model: ModelProto, change: Change, random: Random) -> None:  # noqa: ARG001
    node = _node(model, random)
    node.op_type = random.choice(_OURS if random.randrange(2) else _OTHERS)
    if random.randrange(4) == 0:
        node.domain = random.choice(_DOMAINS)


def _attribute(model: ModelProto, change: Change, random: Random) -> None:
    node = _node(model, random)
    if not node.attribute or random.randrange(4) == 0:
        node.attribute.append(_new_attribute(model, random))
    attribute = random.choice(node.attribute)
    match attribute.type:
        case AttributeProto.INT:
            attribute.i = random.choice(_INTEGERS)
        case AttributeProto.FLOAT:
            attribute.f = random.choice(_FLOATS)
        case AttributeProto.STRING:
            attribute.s = random.choice(_STRINGS)
        case AttributeProto.INTS if attribute.ints:
            attribute.ints[random.randrange(len(attribute.ints))] = random.choice(_INTEGERS)
            if random.randrange(4) == 0:
                attribute.ints[:] = [attribute.ints[0]] * random.choice((0, 1, 2, 3, 4, 8, 1000))
        case AttributeProto.TENSOR:
            _change_tensor(attribute.t, change, random)
        case _:
            attribute.type = random.randrange(15)


def _new_attribute(model: ModelProto, random: Random) -> AttributeProto:
    name = random.choice(_NAMES)
    match random.randrange(6):
        case 0:
            return helper.make_attribute(name, random.choice(_INTEGERS))
        case 1:
            return helper.make_attribute(name, random.choice(_FLOATS))
        case 2:
            return helper.make_attribute(name, random.choice(_STRINGS))
        case 3:
            return helper.make_attribute(name, model.graph)
        case 4:
            return helper.make_attribute(name, helper.make_tensor("t", TensorProto.INT64, [1], [1 << 30]))
        case _:
            return helper.make_attribute(name, [random.choice(_INTEGERS)] * random.choice((1, 2, 4)))


def _tensor(model: ModelProto, change: Change, random: Random) -> None:
    if model.graph.initializer:
        _change_tensor(random.choice(model.graph.initializer), change, random)


def _change_tensor(tensor: TensorProto, change: Change, random: Random) -> None:
    match random.randrange(10):
        case 0:
            tensor.data_type = random.randrange(25)
        case 1 if tensor.dims:
            tensor.dims[random.randrange(len(tensor.dims))] = random.choice(_INTEGERS)
        case 2:
            tensor.dims[:] = [random.choice(_INTEGERS[:8]) for _ in range(random.randrange(6))]
        case 3:
            tensor.raw_data = change(tensor.raw_data)
        case 4:
            tensor.data_location = TensorProto.EXTERNAL
            entry = tensor.external_data.add()
            entry.key, entry.value = "location", random.choice(("x", "/dev/zero", "../manifest.json"))
        case 5:
            tensor.float_data.extend([0.5] * random.choice((1, 100, 10_000)))
        case _:  # numbers of the same type
            odd = _INTEGERS if tensor.data_type in _INTEGER_TYPES else _FLOATS
            try:
                old = numpy_helper.to_array(tensor)
                with np.errstate(all="ignore"):
                    numbers = old.ravel().copy()
                    at = slice(None) if random.randrange(4) == 0 else random.randrange(max(len(numbers), 1))
                    numbers[at] = np.array(random.choice(odd)).astype(old.dtype)
                shape = old.shape if random.randrange(4) else (old.size,)
                tensor.CopyFrom(numpy_helper.from_array(numbers.reshape(shape), tensor.name))
            except Exception:  # an earlier change left no numbers
                tensor.raw_data = change(tensor.raw_data)


def _insert(model: ModelProto, change: Change, random: Random) -> None:  # noqa: ARG001
    """Insert an operator between two others, with constants that may ask for gigabytes."""
    nodes = model.graph.node
    if not nodes:
        return
    at = random.randrange(len(nodes))
    node = nodes[at]
    result, name = node.output[0] if node.output else "x", f"new{random.randrange(1 << 30)}"
    operator = random.choice(_OTHERS if random.randrange(2) else _OURS)
    constants = []
    for number in range(random.choice((0, 1, 1, 2, 3))):
        odd = random.choice(((np.int64, _INTEGERS), (np.float32, _FLOATS)))
        value = np.array([random.choice(odd[1]) for _ in range(random.choice((1, 1, 4)))], odd[0])
        constants.append(numpy_helper.from_array(value, f"{name}.{number}"))
    model.graph.initializer.extend(constants)
    takes = [] if operator in ("ConstantOfShape", "Range", "RandomNormal") else [name]
    added = helper.make_node(operator, [*takes, *(tensor.name for tensor in constants)], [result])
    if random.randrange(2):
        added.attribute.append(_new_attribute(model, random))
    if node.output:
        node.output[0] = name
    nodes.insert(at + 1, added)


def _structure(model: ModelProto, change: Change, random: Random) -> None:  # noqa: ARG001
    nodes, at = model.graph.node, random.randrange(len(model.graph.node) or 1)
    if not nodes:
        return
    node = nodes[at]
    match random.randrange(8):
        case 0:
            del nodes[at]
        case 1:
            nodes.append(node)
        case 2 if node.input:
            node.input[random.randrange(len(node.input))] = random.choice(random.choice(nodes).output or [""])
        case 3:
            node.input.append(random.choice(model.graph.initializer).name if model.graph.initializer else "")
        case 4:
            node.output.append(f"more{random.randrange(1 << 30)}")
        case 5 if node.input:
            del node.input[random.randrange(len(node.input))]
        case 6:
            node.input[:] = reversed(node.input)
        case _:
            other = random.randrange(len(nodes))
            copy = NodeProto()
            copy.CopyFrom(node)
            node.CopyFrom(nodes[other])
            nodes[other].CopyFrom(copy)


def _frame(model: ModelProto, change: Change, random: Random) -> None:
    """Change the parts around the nodes: ports, versions, functions, metadata."""
    graph = model.graph
    match random.randrange(10):
        case 0:
            model.ir_version = random.choice(_INTEGERS)
        case 1:
            model.opset_import.add(domain=random.choice(_DOMAINS), version=random.choice(_INTEGERS))
        case 2 if model.opset_import:
            model.opset_import[0].version = random.choice((*range(1, 30), *_INTEGERS))
        case 3:
            ports = random.choice((graph.input, graph.output, graph.value_info))
            shape = [random.choice(_INTEGERS) for _ in range(random.randrange(5))]
            ports.append(helper.make_tensor_value_info(f"p{random.randrange(9)}", random.randrange(25), shape))
        case 4:
            ports = random.choice((graph.input, graph.output))
            if ports and ports[0].type.tensor_type.shape.dim:
                random.choice(ports[0].type.tensor_type.shape.dim).dim_value = random.choice(_INTEGERS)
        case 5:
            ports = random.choice((graph.input, graph.output))
            if ports:
                ports[0].type.tensor_type.elem_type = random.randrange(25)
        case 6:
            body = random.sample(list(graph.node), min(len(graph.node), 3))
            name = body[0].op_type if body else "f"
            function = helper.make_function(random.choice(_DOMAINS), name, ["x"], ["y"], body, model.opset_import)
            model.functions.append(function)
        case 7:
            model.training_info.add().algorithm.CopyFrom(graph)
        case 8:
            model.metadata_props.add(key="k", value="v" * random.choice((1, 1000, 100_000)))
        case _:
            values = numpy_helper.from_array(np.ones(1, np.float32), f"s{random.randrange(9)}")
            indices = numpy_helper.from_array(np.array([random.choice(_INTEGERS)], np.int64))
            dims = [random.choice(_INTEGERS)]
            graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, dims))
    if random.randrange(16) == 0:
        graph.doc_string = change(b"text").decode("latin-1")


def _multiply(model: ModelProto, change: Change, random: Random) -> None:
    """Repeat a node or a tensor many times."""
    if random.randrange(4):
        return _insert(model, change, random)
    times, graph = 1 << random.randrange(14), model.graph
    if graph.initializer and random.randrange(2):
        small = min(graph.initializer, key=lambda tensor: tensor.ByteSize())
        for number in range(min(times, MAX_BYTES // (small.ByteSize() + 16))):
            graph.initializer.add().CopyFrom(small)
            graph.initializer[-1].name += str(number)
    elif graph.node:
        at = random.randrange(len(graph.node))
        last = graph.node[at]
        result = last.output[0] if last.output else "x"
        times = min(times, MAX_BYTES // (last.ByteSize() + 16))
        row = [helper.make_node("Relu", [f"r{k}.{at}"], [f"r{k + 1}.{at}"]) for k in range(times)]
        row[-1].output[0] = result
        if last.output:
            last.output[0] = f"r0.{at}"
        after = list(graph.node)[at + 1 :]
        del graph.node[at + 1 :]
        graph.node.extend([*row, *after])
    return None


_CHANGES = (_operator, _attribute, _attribute, _tensor, _tensor, _insert, _structure, _frame, _multiply)
