"""The result of each operator of a graph, and the constants and attributes that it refuses."""

import numpy as np
import pytest

from fmae_edge.runtime.bundle.onnx_file import FLOAT, INT8, INT64, UINT8, Constant
from fmae_edge.runtime.bundle.operator_call import Value
from fmae_edge.runtime.bundle.operators import apply

IMAGE = Value(FLOAT, (4, 7, 7))
LEVELS = Value(UINT8, (7, 7, 4))
ONNX_TYPES = {"float32": FLOAT, "int8": INT8, "int64": INT64}


def constant(values, dtype="float32"):
    array = np.array(values, dtype)
    return Constant(ONNX_TYPES[dtype], array.shape, memoryview(array.tobytes()))


def integers(*values):
    return constant(values, "int64")


def convolution(operator, kernel, pad):
    filters = constant(np.zeros((4, 4, kernel, kernel)))
    return apply(operator, IMAGE, [filters, constant(np.zeros(4))], {"pads": (pad,) * 4})[0]


@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_pads_must_be_smaller_than_the_kernel(operator, kernel):
    """Rows of zeros only would make a result as large as the pads."""
    grows = 1 if operator == "Conv" else -1
    side = 7 + grows * (2 * (kernel - 1) - (kernel - 1))
    assert convolution(operator, kernel, kernel - 1) == Value(FLOAT, (4, side, side))
    for pad in (kernel, -1):
        with pytest.raises(ValueError, match="pads are too large"):
            convolution(operator, kernel, pad)


@pytest.mark.parametrize("axis", [0, -1, 4])
def test_a_slice_of_the_batch_or_a_missing_axis_is_refused(axis):
    assert apply("Slice", IMAGE, [integers(1), integers(6), integers(3)], {})[0].shape == (4, 7, 5)
    with pytest.raises(ValueError, match=f"it slices axis {axis}"):
        apply("Slice", IMAGE, [integers(1), integers(6), integers(axis)], {})


@pytest.mark.parametrize("steps", [(2,), (-1,), (1, 1), ()])
def test_a_slice_has_steps_of_1(steps):
    some = [integers(1), integers(6), integers(3)]
    assert apply("Slice", IMAGE, [*some, integers(1)], {})[0].shape == (4, 7, 5)
    with pytest.raises(ValueError, match="its steps are"):
        apply("Slice", IMAGE, [*some, integers(*steps)], {})


def test_pads_add_rows_and_columns_at_the_end():
    edge = {"mode": b"edge"}
    assert apply("Pad", IMAGE, [integers(0, 0, 0, 0, 0, 0, 2, 255)], edge) == (Value(FLOAT, (4, 9, 262)), 0)
    assert apply("Pad", LEVELS, [integers(0, 0, 0, 0, 0, 2, 1, 0)], edge) == (Value(UINT8, (9, 8, 4)), 0)


@pytest.mark.parametrize(
    ("value", "pads"),
    [
        (IMAGE, (0, 0, 0, 0, 1, 0, 0, 0)),  # the batch
        (IMAGE, (0, 0, 0, 0, 0, 1, 0, 0)),  # channels
        (LEVELS, (0, 0, 0, 0, 0, 0, 0, 1)),
        (IMAGE, (0, 0, 1, 0, 0, 0, 0, 0)),  # the begin
        (IMAGE, (0, 0, 0, 0, 0, 0, 256, 0)),
        (IMAGE, (0, 0, 0, 0, 0, 0, -1, 0)),
        (IMAGE, (0, 0, 0, 0)),
        (IMAGE, (0,) * 12),
        (IMAGE, (0,) * 13),
        (Value(FLOAT, (4, 7)), (0, 0, 0, 0, 0, 1)),
    ],
)
def test_other_pads_are_refused(value, pads):
    with pytest.raises(ValueError, match="pads|short vector|cannot take"):
        apply("Pad", value, [integers(*pads)], {"mode": b"edge"})


def test_pads_with_a_value_or_in_another_mode_are_refused():
    pads = integers(0, 0, 0, 0, 0, 0, 1, 1)
    for given in ([pads, constant(0.0)], [pads, None, integers(2)], []):
        with pytest.raises(ValueError, match="pads|short vector"):
            apply("Pad", IMAGE, given, {"mode": b"edge"})
    for mode in (b"constant", b"reflect", b"wrap"):
        with pytest.raises(ValueError, match="its attribute 'mode' is"):
            apply("Pad", IMAGE, [pads], {"mode": mode})


@pytest.mark.parametrize("given", [[], [constant(1)], [constant(1)] * 3])
@pytest.mark.parametrize("operator", ["QuantizeLinear", "Resize"])
def test_operators_with_two_constants_need_exactly_two(operator, given):
    with pytest.raises(ValueError, match=f"it needs 2 constants, and has {len(given)}"):
        apply(operator, IMAGE, given, {})


NEEDED = {
    "Cast": {"to": FLOAT},
    "DepthToSpace": {"blocksize": 2, "mode": b"DCR"},
    "MaxPool": {"kernel_shape": (2, 2), "strides": (2, 2)},
    "Pad": {"mode": b"edge"},
    "Resize": {"mode": b"nearest", "nearest_mode": b"floor", "coordinate_transformation_mode": b"asymmetric"},
    "Transpose": {"perm": (0, 1, 2, 3)},
}


@pytest.mark.parametrize(("operator", "missing"), [(name, one) for name, all_ in NEEDED.items() for one in all_])
def test_attributes_with_another_default_are_required(operator, missing):
    constants = {"Resize": [None, constant([1, 1, 2, 2])], "Pad": [integers(*[0] * 8)]}
    given = constants.get(operator, [])
    apply(operator, IMAGE, given, NEEDED[operator])
    attributes = {name: value for name, value in NEEDED[operator].items() if name != missing}
    with pytest.raises(ValueError, match=f"its attribute '{missing}' is missing"):
        apply(operator, IMAGE, given, attributes)


@pytest.mark.parametrize("given", [[None, None], [constant(1), constant(1)], [None, constant(1, "int8")]])
def test_a_resize_has_only_scales(given):
    with pytest.raises(ValueError, match="its only constant must be its scales"):
        apply("Resize", IMAGE, given, NEEDED["Resize"])


@pytest.mark.parametrize("shape", [(), (1, 4, 49), (-1, 4, -1), (-1, 1, 1, 1, 1, 4, 49)])
def test_a_reshape_keeps_the_batch_and_the_number_of_values(shape):
    assert apply("Reshape", IMAGE, [integers(-1, 4, 49)], {})[0].shape == (4, 49)
    with pytest.raises(ValueError, match="it does not keep the batch|it cannot reshape|must be a short vector"):
        apply("Reshape", IMAGE, [integers(*shape)], {})
