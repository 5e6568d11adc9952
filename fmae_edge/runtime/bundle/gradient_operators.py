"""The operators of the gradient's graph: those of a float32 decoder, and those of its backward pass.

The rules are as in `operators`. In addition to constants, an operator may take a second result.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fmae_edge.runtime.bundle.onnx_file import BOOL, FLOAT, Constant, Node
from fmae_edge.runtime.bundle.operator_call import Call, Value, require
from fmae_edge.runtime.bundle.operators import apply

_MAX_PADDING = 255  # rows or columns on each side, as in `operators`
_SQUARE = -2.0  # the factor of the last operator: the derivative of the square, with a sign

_DECODER = ("Conv", "DepthToSpace", "DequantizeLinear", "Flatten", "Gemm", "Mul", "Relu", "Reshape", "Sigmoid")
_BACK = ("Cast", "Greater", "Pad", "Slice", "SpaceToDepth", "Sub", "Transpose")
GRADIENT_OPERATORS = frozenset((*_DECODER, *_BACK))

_NO_DATA = memoryview(b"")


def apply_gradient(
    operator: str, value: Value, given: Sequence[Constant | Value], attributes: Mapping[str, Any]
) -> tuple[Value, int]:
    """Return the result of one of GRADIENT_OPERATORS for one image, and its number of multiply-adds.

    Raises ValueError for inputs or attributes that export does not write.
    """
    results = [other for other in given if isinstance(other, Value)]
    constants = [other for other in given if isinstance(other, Constant)]
    if results:
        require(operator in ("Mul", "Sub") and not constants and not attributes, "it takes a second result")
        require(results == [value] and value.dtype == FLOAT, "its inputs have different types or shapes")
        return value, 0
    call = Call(value, constants, attributes)
    match operator, constants:
        case "Cast", _:
            require(attributes == {"to": FLOAT}, "it does not convert to float32")
            call.constants()
            return Value(FLOAT, call.takes((BOOL,))), 0
        case "Greater", _:
            require(not attributes, "it has attributes")
            call.constants((FLOAT, ()))
            return Value(BOOL, call.takes((FLOAT,))), 0
        case "SpaceToDepth", _:
            return _space_to_depth(call), 0
        case "Pad", _:
            return _pad(call), 0
        case "Conv", [kernel]:
            return apply(operator, value, [kernel, Constant(FLOAT, kernel.shape[:1], _NO_DATA)], attributes)
        case "Gemm", [weight] if attributes.get("alpha") == _SQUARE and attributes.get("transB") == 1:
            others = {name: setting for name, setting in attributes.items() if name != "alpha"}
            return apply(operator, value, [weight, Constant(FLOAT, weight.shape[:1], _NO_DATA)], others)
    return apply(operator, value, constants, attributes)


def rearranged_kernel(node: Node, kernel: Constant, given: Sequence[Constant]) -> Constant:
    """Return the constant, without its data, that an operator makes of a convolution's `kernel`.

    It swaps the two axes of channels, or reverses rows and columns. Raises ValueError for all other operators.
    """
    call = Call(Value(kernel.dtype, kernel.shape), given, node.attributes)
    require(kernel.dtype == FLOAT and len(kernel.shape) == 4, "it does not take a result")
    if node.operator == "Transpose":
        require(
            node.attributes == {"perm": (1, 0, 2, 3)} and not given, "it does not swap the channels of a kernel"
        )
        outs, ins, *taps = kernel.shape
        return Constant(FLOAT, (ins, outs, *taps), _NO_DATA)
    require(node.operator == "Slice" and len(given) == 4 and not node.attributes, "it does not take a result")
    starts, ends, axes, steps = map(call.integers, range(4))
    reverses = ((-1, -1), tuple(-1 - taps for taps in kernel.shape[2:]), (2, 3), (-1, -1))
    require((starts, ends, axes, steps) == reverses, "it does not reverse the rows and columns of a kernel")
    return Constant(FLOAT, kernel.shape, _NO_DATA)


def _space_to_depth(call: Call) -> Value:
    channels, height, width = call.takes((FLOAT,), 3)
    call.constants()
    block = call.attribute("blocksize")
    require(set(call.attributes) == {"blocksize"} and block in (2, 4), "its blocks are not 2x2 or 4x4")
    require(height % block == width % block == 0, f"its blocks of {block} do not fit")
    return Value(FLOAT, (channels * block**2, height // block, width // block))


def _pad(call: Call) -> Value:
    """Add rows and columns of zeros on all sides."""
    shape = call.takes((FLOAT,), 3)
    pads = call.integers(0, 2)
    require(len(call.given) == 1 and len(pads) == 8, "its pads do not fit its input")
    require(dict(call.attributes) == {"mode": b"constant"}, "it does not add zeros")
    begins, ends = pads[:4], pads[4:]
    require(not any((*begins[:2], *ends[:2])), "it pads more than rows and columns")
    require(all(0 <= more <= _MAX_PADDING for more in pads), "its pads are too large")
    sides = (side + before + after for side, before, after in zip(shape[1:], begins[2:], ends[2:], strict=True))
    return Value(FLOAT, (shape[0], *sides))
