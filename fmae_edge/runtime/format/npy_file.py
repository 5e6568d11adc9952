"""Latents in .npy files: a plain NumPy array, never a pickle, and checked before it is used."""

import io
import math
import re
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.latents import as_latent_batch

SUFFIX = ".npy"
MAGIC = npy.MAGIC_PREFIX
_LENGTH_BYTES = {b"\1\0": 2, b"\2\0": 4, b"\3\0": 4}  # of the header's length, by version
_ORDERS: dict[str, Literal["C", "F"]] = {"True": "F", "False": "C"}
_MAX_HEADER_BYTES = 10_000
_MAX_DIMENSIONS = 32
# NumPy reads a header as a Python literal, which accepts more than headers of arrays, and prints Python's warnings
_ENTRY = re.compile(
    r"""\s*(?:['"]descr['"]\s*:\s*['"](?P<descr>[<>|=]?[?biufcmMOSUV]\d{0,9}(?:\[\w+\])?)['"]"""
    r"""|['"]fortran_order['"]\s*:\s*(?P<fortran_order>True|False)"""
    r"""|['"]shape['"]\s*:\s*\((?P<shape>\s*(?:\d{1,18}L?\s*,\s*)*(?:\d{1,18}L?\s*)?)\))\s*(?:,\s*|$)"""
)


class _Header(NamedTuple):
    shape: tuple[int, ...]
    order: Literal["C", "F"]
    dtype: np.dtype[Any]
    end: int

    @property
    def data_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def file_bytes(start: bytes, where: str) -> int:
    """Return the size in bytes of the .npy file of latents that begins with `start`, from its header.

    The header is in the first 64 kilobytes. Raises InputError if it is damaged, or not the header of latents.
    """
    header = _read_header(start, where)
    return header.end + header.data_bytes


def load_latents(content: bytes, size: int, where: str) -> NDArray[Any]:
    """Return the latents of a .npy file's bytes: (size,) or (N, size), float32, float16 or int8.

    `where` names the file in messages. Raises InputError if the bytes are not a .npy file, are a pickle, are
    shorter or longer than their header says, or are not latents of this size.
    """
    header = _read_header(content, where)
    present, needed = len(content) - header.end, header.data_bytes
    if present != needed:
        raise InputError(f"{where}: truncated or damaged: it has {present} bytes of data and needs {needed}")
    try:
        values: NDArray[Any] = np.frombuffer(content, header.dtype, offset=header.end)
        latents = values.reshape(header.shape, order=header.order)
    except ValueError as error:
        raise InputError(f"{where}: not a .npy file of latents ({error})") from None
    try:
        as_latent_batch(latents, size)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    return latents


def _read_header(content: bytes, where: str) -> _Header:
    version = content[len(MAGIC) : len(MAGIC) + 2]
    if content.startswith(MAGIC) and len(version) == 2 and version not in _LENGTH_BYTES:
        raise InputError(
            f"{where}: has version {version[0]}.{version[1]} of the .npy format; expected 1.0, 2.0 or 3.0"
        )
    try:
        header = _parse_header(content)
    except (KeyError, ValueError, TypeError, OverflowError):
        raise InputError(f"{where}: not a .npy file of latents: its header is missing or damaged") from None
    if header.dtype.hasobject:
        raise InputError(f"{where}: a pickled .npy file, which is never loaded; save a plain float32 array")
    if header.dtype.kind not in "biufcSU" or header.dtype.itemsize == 0:
        raise InputError(f"{where}: not latents: the dtype is {header.dtype} and the shape {header.shape}")
    return header


def _parse_header(content: bytes) -> _Header:
    """Return the header of a .npy file, version 1.0 to 3.0. Raises ValueError or a similar error if damaged."""
    if not content.startswith(MAGIC):
        raise ValueError
    start = len(MAGIC) + 2
    length_bytes = _LENGTH_BYTES[content[len(MAGIC) : start]]
    start += length_bytes
    end = start + int.from_bytes(content[start - length_bytes : start], "little")
    if end > min(len(content), start + _MAX_HEADER_BYTES):
        raise ValueError
    text = content[start:end].decode("latin-1").strip()
    if text[:1] + text[-1:] != "{}":
        raise ValueError
    at, entries = 1, dict[str, str]()
    while entry := _ENTRY.match(text, at, len(text) - 1):
        at = entry.end()
        entries |= {key: value for key, value in entry.groupdict().items() if value is not None}
    shape = tuple(int(number) for number in re.findall(r"\d+", entries["shape"]))
    dtype = np.dtype(entries["descr"])
    if at != len(text) - 1 or len(shape) > _MAX_DIMENSIONS or dtype.itemsize < 0:  # it overflows in numpy 1.26
        raise ValueError
    return _Header(shape, _ORDERS[entries["fortran_order"]], dtype, end)


def dump_latents(latents: NDArray[Any]) -> bytes:
    """Return the bytes of a .npy file of `latents`, which are the same on CPUs of either byte order."""
    little = latents.astype(latents.dtype.newbyteorder("<"), copy=False)
    return _header_of(little.shape, little.dtype.str) + little.tobytes()


@lru_cache(16)  # the files of a run have the same header
def _header_of(shape: tuple[int, ...], descr: str) -> bytes:
    stream = io.BytesIO()
    npy.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()
