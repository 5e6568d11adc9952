"""Latents in .npy files: a plain NumPy array, never pickled, checked before a byte of it is trusted."""

import io
import math
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.latents import as_latent_batch

SUFFIX = ".npy"
MAGIC = npy.MAGIC_PREFIX


def load_latents(content: bytes, size: int, where: str) -> NDArray[Any]:
    """Return the latents of a .npy file's bytes: (size,) or (N, size), float32, float16 or int8.

    `where` names the file in messages. Raises InputError if the bytes are no .npy file, a pickled one,
    shorter or longer than their header says, or hold anything but latents of this size.
    """
    stream = io.BytesIO(content)
    try:
        version = npy.read_magic(stream)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran_order, dtype = read_header(stream)
    except Exception:  # a header is a Python literal: malformed ones raise all kinds of errors
        raise InputError(f"{where}: not a .npy file of latents, its header is none or is damaged") from None
    if dtype.hasobject:
        raise InputError(f"{where}: a pickled .npy file, which is never loaded; save a plain float32 array")
    if dtype.kind not in "biufcSU" or dtype.itemsize == 0 or any(type(n) is not int or n < 0 for n in shape):
        raise InputError(f"{where}: has dtype {dtype} and shape {shape}, which no latents have")
    held, needed = len(content) - stream.tell(), math.prod(shape) * dtype.itemsize
    if held != needed:
        raise InputError(f"{where}: truncated or damaged, it holds {held} bytes of data and needs {needed}")
    try:
        values = np.frombuffer(content, dtype, offset=stream.tell())
        latents = values.reshape(shape, order="F" if fortran_order else "C")
    except ValueError as error:
        raise InputError(f"{where}: not a .npy file of latents ({error})") from None
    try:
        as_latent_batch(latents, size)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    return latents


def dump_latents(latents: NDArray[Any]) -> bytes:
    """Return the bytes of a .npy file that holds `latents`."""
    stream = io.BytesIO()
    npy.write_array(stream, np.ascontiguousarray(latents), allow_pickle=False)
    return stream.getvalue()
