"""The operators that a bundle's graphs may contain: the result of each for one image, and its multiply-adds.

Every operator here takes the result of the previous operator, and constants. Its attributes are restricted to
those that export writes: other strides, dilations or output shapes could need any amount of memory. Its constants
must have exactly the type and shape that it needs, because onnxruntime does not check all of them.

Shapes are those of one image: the batch stays the first dimension throughout, and is left out here.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fmae_edge.runtime.bundle.onnx_file import FLOAT, INT8, INT32, MAX_RANK, UINT8, Constant, Shape
from fmae_edge.runtime.bundle.operator_call import Call, Value, require
from fmae_edge.runtime.errors import shown

_MAX_PADDING = 255  # rows or columns: fewer than the largest image that export takes has
_MAX_KERNEL = 3  # on each side: a convolution copies its input once for each weight of the kernel


def apply(
    operator: str, value: Value, given: Sequence[Constant | None], attributes: Mapping[str, Any]
) -> tuple[Value, int]:
    """Return the result of one of OPERATORS for one image, and its number of multiply-adds.

    Raises ValueError for a constant or an attribute that export does not write.
    """
    rule, known = OPERATORS[operator]
    for name, setting in attributes.items():
        expected = known.get(name, ())
        fits = isinstance(setting, expected) if isinstance(expected, type) else setting in expected
        if not fits:
            raise ValueError(f"its attribute {shown(name, 60)} is {shown(setting, 60)}")
    return rule(Call(value, given, attributes))


_REAL, _LEVELS, _EITHER = (FLOAT,), (UINT8, INT8), (FLOAT, UINT8, INT8)


def _scalar_quantiser(call: Call) -> tuple[tuple[int, Shape], ...]:
    return ((FLOAT, ()), (call.value.dtype, ()))


def _kernel(call: Call, place: int) -> tuple[Shape, int]:
    """Return the shape of a convolution's weights, and the number of zeros that it adds on each side."""
    shape = call.matrix(place, 4)
    kernel, pads = shape[2:], call.attributes.get("pads", (0,) * 4)
    fits = call.attributes.get("kernel_shape", kernel) == kernel
    require(fits, "its kernel_shape is not that of its weights")
    if len(pads) != 4 or len(set(pads)) != 1:
        raise ValueError(f"its pads are {shown(pads, 60)}")
    fits = max(kernel) <= _MAX_KERNEL and 0 <= pads[0] < min(kernel)
    require(fits, "its kernel or its pads are too large")
    return shape, pads[0]


def _convolved(sides: Sequence[int], kernel: Shape, pad: int) -> Shape:
    return tuple(side + 2 * pad + 1 - taps for side, taps in zip(sides, kernel, strict=True))


def _conv(call: Call) -> tuple[Value, int]:
    channels, *sides = call.takes(_REAL, 3)
    shape, pad = _kernel(call, 0)
    call.constants((FLOAT, (shape[0], channels, *shape[2:])), (FLOAT, shape[:1]))
    result = (shape[0], *_convolved(sides, shape[2:], pad))
    return Value(FLOAT, result), math.prod(result) * math.prod(shape[1:])


def _conv_transpose(call: Call) -> tuple[Value, int]:
    channels, *sides = call.takes(_REAL, 3)
    shape, pad = _kernel(call, 0)
    call.constants((FLOAT, (channels, *shape[1:])), (FLOAT, shape[1:2]))
    result = (shape[1], *(side - 1 + taps - 2 * pad for side, taps in zip(sides, shape[2:], strict=True)))
    return Value(FLOAT, result), math.prod(call.value.shape) * math.prod(shape[1:])


def _qlinear_conv(call: Call) -> tuple[Value, int]:
    *sides, channels = call.takes(_LEVELS, 3)
    shape, pad = _kernel(call, 2)
    quantiser, out = _scalar_quantiser(call), shape[:1]
    weights = ((INT8, (*out, channels, *shape[2:])), (FLOAT, out), (INT8, out))
    call.constants(*quantiser, *weights, *quantiser, (INT32, out))
    require(call.attributes.get("channels_last") == 1, "its channels are not last")
    result = (*_convolved(sides, shape[2:], pad), shape[0])
    return Value(call.value.dtype, result), math.prod(result) * math.prod(shape[1:])


def _gemm(call: Call) -> tuple[Value, int]:
    (inputs,) = call.takes(_REAL, 1)
    shape = call.matrix(0, 2)
    transposed = call.attributes.get("transB")
    outputs = shape[0] if transposed else shape[1]
    call.constants((FLOAT, (outputs, inputs) if transposed else (inputs, outputs)), (FLOAT, (outputs,)))
    return Value(FLOAT, (outputs,)), inputs * outputs


def _qgemm(call: Call) -> tuple[Value, int]:
    (inputs,) = call.takes(_LEVELS, 1)
    out = call.matrix(2, 2)[1:]
    call.constants(*_scalar_quantiser(call), (INT8, (inputs, *out)), (FLOAT, out), (INT8, out), (INT32, out))
    return Value(FLOAT, out), inputs * out[0]


def _elementwise(
    dtypes: Sequence[int], constants: Callable[[Call], Sequence[tuple[int, Shape]]] = lambda _: ()
) -> "_Rule":
    """Return the rule of an operator that keeps type and shape, and takes these constants."""

    def rule(call: Call) -> tuple[Value, int]:
        call.takes(dtypes)
        call.constants(*constants(call))
        return call.value, 0

    return rule


def _qlinear_mul_constants(call: Call) -> Sequence[tuple[int, Shape]]:
    quantiser = _scalar_quantiser(call)
    return (*quantiser, (call.value.dtype, (1, *call.value.shape)), *quantiser, *quantiser)


def _cast(call: Call) -> tuple[Value, int]:
    call.constants()
    return Value(call.attribute("to"), call.takes(_EITHER)), 0


def _quantize(call: Call) -> tuple[Value, int]:
    """Quantise with one scale for all numbers, or with one scale per entry of the first axis."""
    shape = call.takes(_REAL)
    scale, zero_point = call.pair()
    levels = zero_point.dtype if zero_point is not None and zero_point.dtype in _LEVELS else UINT8
    sizes = shape[:1] if scale is not None and scale.shape else ()
    call.constants((FLOAT, sizes), (levels, sizes))
    return Value(levels, shape), 0


def _dequantize(call: Call) -> tuple[Value, int]:
    call.constants(*_scalar_quantiser(call))
    return Value(FLOAT, call.takes(_LEVELS)), 0


def _pool(channels_at: int, dtypes: Sequence[int]) -> "_Rule":
    def rule(call: Call) -> tuple[Value, int]:
        shape = call.takes(dtypes, 3)
        call.constants()
        for name in ("kernel_shape", "strides"):
            call.attribute(name)
        halved = (side if axis == channels_at else side // 2 for axis, side in enumerate(shape))
        return Value(call.value.dtype, tuple(halved)), 0

    return rule


def _resize(call: Call) -> tuple[Value, int]:
    """Double height and width: the last two of three dimensions for floats, the first two for integers."""
    shape = call.takes(_EITHER, 3)
    wanted = (1, 1, 2, 2) if call.value.dtype == FLOAT else (1, 2, 2, 1)
    regions, scales = call.pair()
    if regions is not None or scales is None or scales.dtype != FLOAT:
        raise ValueError("its only constant must be its scales")
    require(scales.shape == (len(wanted),) and scales.floats() == wanted, "its scales are not 2")
    for name in ("mode", "nearest_mode", "coordinate_transformation_mode"):
        call.attribute(name)
    return Value(call.value.dtype, tuple(side * by for side, by in zip(shape, wanted[1:], strict=True))), 0


def _flatten(call: Call) -> tuple[Value, int]:
    call.constants()
    return Value(call.value.dtype, (math.prod(call.value.shape),)), 0


def _reshape(call: Call) -> tuple[Value, int]:
    numbers = call.integers(0)
    keeps_batch = len(call.given) == 1 and numbers[:1] == (-1,) and len(numbers) <= MAX_RANK
    require(keeps_batch, "it does not keep the batch")
    shape = numbers[1:]
    if min(shape, default=1) < 1 or math.prod(shape) != math.prod(call.value.shape):
        raise ValueError(f"it cannot reshape {call.value.shape} to {shown(shape, 60)}")
    return Value(call.value.dtype, shape), 0


def _transpose(call: Call) -> tuple[Value, int]:
    call.constants()
    perm = call.attribute("perm")
    in_order = list(range(len(call.value.shape) + 1))
    if perm[:1] != (0,) or sorted(perm) != in_order:
        raise ValueError(f"its perm is {shown(perm, 60)}")
    return Value(call.value.dtype, tuple(call.value.shape[axis - 1] for axis in perm[1:])), 0


def _depth_to_space(call: Call) -> tuple[Value, int]:
    channels, height, width = call.takes(_REAL, 3)
    call.constants()
    block = call.attribute("blocksize")
    call.attribute("mode")
    require(channels % block**2 == 0, f"its {channels} channels are not a multiple of {block**2}")
    return Value(FLOAT, (channels // block**2, height * block, width * block)), 0


def _pad(call: Call) -> tuple[Value, int]:
    """Copy the last row and column of an image a few times; integers have channels last, as in `_resize`."""
    shape = call.takes(_EITHER, 3)
    pads = call.integers(0, 2)
    require(len(call.given) == 1 and len(pads) == 2 * (len(shape) + 1), "its pads do not fit its input")
    call.attribute("mode")
    begins, ends = pads[: len(shape) + 1], pads[len(shape) + 1 :]
    channels_at = 1 if call.value.dtype == FLOAT else 3
    require(not any(begins) and not ends[0] and not ends[channels_at], "it pads more than rows and columns")
    fits = all(0 <= more <= _MAX_PADDING for more in ends)
    require(fits, f"its pads are {shown(pads, 60)}")
    return Value(call.value.dtype, tuple(side + more for side, more in zip(shape, ends[1:], strict=True))), 0


def _slice(call: Call) -> tuple[Value, int]:
    starts, ends, axes = map(call.integers, range(3))
    fits = len(call.given) in (3, 4) and len(starts) == len(ends) == len(axes) == len(set(axes))
    require(fits, "its starts, ends and axes do not match")
    steps = call.integers(3) if len(call.given) == 4 else (1,) * len(axes)  # PyTorch writes them
    require(steps == (1,) * len(axes), f"its steps are {shown(steps, 60)}")
    shape = list(call.value.shape)
    for start, end, axis in zip(starts, ends, axes, strict=True):
        require(1 <= axis <= len(shape), f"it slices axis {axis}")
        shape[axis - 1] = len(range(*slice(start, end).indices(shape[axis - 1])))
    return Value(call.value.dtype, tuple(shape)), 0


_Rule = Callable[[Call], tuple[Value, int]]
# For each attribute: the type of a value that the rule checks, or the values that it may have
_Known = Mapping[str, type | Sequence[object]]
_NO_PADS: _Known = {"auto_pad": [b"NOTSET"], "dilations": [(1, 1)]}
_CONVOLUTION: _Known = {**_NO_PADS, "kernel_shape": tuple, "pads": tuple, "strides": [(1, 1)], "group": [1]}
_POOL: _Known = {"kernel_shape": [(2, 2)], "strides": [(2, 2)]}
_UPSAMPLING: _Known = {
    "mode": [b"nearest"],
    "nearest_mode": [b"floor"],
    "coordinate_transformation_mode": [b"asymmetric"],
    "keep_aspect_ratio_policy": [b"stretch"],
    "antialias": [0],
    "exclude_outside": [0],
    "cubic_coeff_a": float,
    "extrapolation_value": float,
}


# Every operator that export writes, with its rule and its attributes; a test compares it with what export writes.
OPERATORS: dict[str, tuple[_Rule, _Known]] = {
    "Cast": (_cast, {"to": list(_EITHER)}),
    "Clip": (_elementwise(_REAL, lambda call: [(FLOAT, ())] * 2), {}),
    "Conv": (_conv, _CONVOLUTION),
    "ConvTranspose": (_conv_transpose, {**_CONVOLUTION, "output_padding": [(0, 0)]}),
    "DepthToSpace": (_depth_to_space, {"blocksize": [2, 4], "mode": [b"DCR"]}),
    "DequantizeLinear": (_dequantize, {}),
    "Flatten": (_flatten, {"axis": [1]}),
    "Floor": (_elementwise(_REAL), {}),
    "Gemm": (_gemm, {"alpha": [1.0], "beta": [1.0], "transA": [0], "transB": [0, 1]}),
    "MaxPool": (
        _pool(0, _REAL),
        {**_POOL, **_NO_PADS, "pads": [(0,) * 4], "ceil_mode": [0], "storage_order": [0]},
    ),
    "Mul": (_elementwise(_REAL, lambda call: [(FLOAT, (1, *call.value.shape))]), {}),
    "Pad": (_pad, {"mode": [b"edge"]}),
    "QuantizeLinear": (_quantize, {}),
    "Relu": (_elementwise(_REAL), {}),
    "Reshape": (_reshape, {"allowzero": [0, 1]}),
    "Resize": (_resize, _UPSAMPLING),
    "Sigmoid": (_elementwise(_REAL), {}),
    "Slice": (_slice, {}),
    "Sub": (_elementwise(_REAL, lambda call: [(FLOAT, ())]), {}),
    "Transpose": (_transpose, {"perm": tuple}),
    "com.microsoft.NhwcMaxPool": (_pool(2, _LEVELS), _POOL),
    "com.microsoft.QGemm": (_qgemm, {}),
    "com.microsoft.QLinearConv": (_qlinear_conv, {**_CONVOLUTION, "channels_last": [1]}),
    "com.microsoft.QLinearMul": (_elementwise(_LEVELS, _qlinear_mul_constants), {}),
    "com.microsoft.QLinearSigmoid": (_elementwise(_LEVELS, lambda call: _scalar_quantiser(call) * 2), {}),
}
