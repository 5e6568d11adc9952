"""Arrays read from safetensors files: the same integers on little-endian and big-endian CPUs."""

import numpy as np
import pytest
import safetensors.numpy

from fmae_edge import BundleError
from fmae_edge.runtime.bundle import safetensors_file
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE
from fmae_edge.runtime.bundle.manifest import PRIOR_NAME
from fmae_edge.runtime.bundle.safetensors_file import read_tensors
from fmae_edge.runtime.entropy.prior import read_prior
from tests.conftest import REPOSITORY

ARRAYS = {
    "bytes": np.array([-128, 127], np.int8),
    "levels": np.array([[0, 255]], np.uint8),
    "weights": np.array([[-2, 3], [-32768, 32767]], np.int16),
    "tables": np.array([0, 1, 65535], np.uint16),
    "bias": np.array([-(2**31), 1], np.int32),
    "latents": np.array([0.5, -3e38], np.float32),
}


def test_arrays_come_back_in_the_byte_order_of_this_cpu():
    found = read_tensors(safetensors.numpy.save(ARRAYS), "file", floats=True)
    assert set(found) == set(ARRAYS)
    for name, array in found.items():
        assert array.dtype.isnative
        assert not array.flags.writeable
        assert array.dtype == ARRAYS[name].dtype
        np.testing.assert_array_equal(array, ARRAYS[name])


def use_the_other_byte_order(monkeypatch):
    """Read files in the byte order that this CPU does not have, as a big-endian CPU reads all of them."""
    for table in (safetensors_file._INTEGERS, safetensors_file._NUMBERS):
        for name, dtype in table.items():
            monkeypatch.setitem(table, name, np.dtype(dtype).newbyteorder().str)


def swapped(content, floats=False):
    """Return a file with the bytes of each number reversed."""
    arrays = read_tensors(content, "file", floats=floats)
    return safetensors.numpy.save({name: array.byteswap() for name, array in arrays.items()})


def test_a_cpu_of_the_other_byte_order_reads_the_same_arrays(monkeypatch):
    content = swapped(safetensors.numpy.save(ARRAYS), floats=True)
    use_the_other_byte_order(monkeypatch)
    for name, array in read_tensors(content, "file", floats=True).items():
        assert array.dtype.isnative
        assert not array.flags.writeable
        np.testing.assert_array_equal(array, ARRAYS[name])


@pytest.mark.parametrize(
    ("file", "latents"),
    [(DEFAULT_BUNDLE / PRIOR_NAME, 64), (REPOSITORY / "spec/golden/format-1/tables.safetensors", 8)],
    ids=["network", "tables"],
)
def test_a_cpu_of_the_other_byte_order_reads_priors(monkeypatch, file, latents):
    content, steps = file.read_bytes(), (1,) * 9
    expected, other = read_prior(content, latents, steps, "prior"), swapped(content)
    with pytest.raises(BundleError):  # numbers with reversed bytes are not a prior
        read_prior(other, latents, steps, "prior")
    use_the_other_byte_order(monkeypatch)
    found = read_prior(other, latents, steps, "prior")
    np.testing.assert_array_equal(found.starts, expected.starts)
