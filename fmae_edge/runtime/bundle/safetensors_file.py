"""Read named arrays from the bytes of a safetensors file, and check every size before it is used.

The format: 8 bytes of header length, little-endian; a JSON header with dtype, shape and offsets of each array; the
arrays. https://huggingface.co/docs/safetensors describes it.
"""

import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.errors import BundleError

_LENGTH_BYTES = 8
_INTEGERS = {"I8": "<i1", "U8": "<u1", "I16": "<i2", "U16": "<u2", "I32": "<i4"}
_NUMBERS = {**_INTEGERS, "F32": "<f4"}


def read_tensors(content: bytes, where: str, *, floats: bool = False) -> dict[str, NDArray[Any]]:
    """Return the arrays in `content`, read-only and in this CPU's byte order. `where` names the file in messages.

    Raises BundleError if the bytes are not such a file, or an array has a dtype other than integers of 8, 16 or 32
    bits, or float32 if `floats` is set.
    """
    dtypes = _NUMBERS if floats else _INTEGERS
    data_at = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    try:
        if data_at > len(content):
            raise ValueError("shorter than its header")
        header = json.loads(content[_LENGTH_BYTES:data_at])
        header.pop("__metadata__", None)
        data = memoryview(content)[data_at:]
        return {name: _array(data, dtypes, **entry) for name, entry in header.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BundleError(f"{where}: not a safetensors file with the expected tensors ({error!r})") from None


def _array(
    data: memoryview, dtypes: dict[str, str], dtype: str, shape: list[int], data_offsets: list[int]
) -> NDArray[Any]:
    kind = np.dtype(dtypes[dtype])
    begin, end = data_offsets
    if any(type(number) is not int or number < 0 for number in (*shape, begin, end)):
        raise ValueError(shape, data_offsets)
    if not begin <= end <= len(data) or end - begin != math.prod(shape) * kind.itemsize:
        raise ValueError(shape, data_offsets)
    array = np.frombuffer(data[begin:end], kind).reshape(shape)
    # On a big-endian CPU, a little-endian dtype is not equal to np.uint16; on other CPUs, this does not copy
    native = array.astype(kind.newbyteorder("="), copy=False)
    native.flags.writeable = False
    return native
