"""Check the latents of callers, and convert them between values and int8 symbols."""

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fmae_edge.runtime.arguments import Stack, as_stack, slices, to_array
from fmae_edge.runtime.errors import ArgumentError, InputError, shown

LatentDtype = Literal["float32", "float16", "int8"]
LATENT_DTYPES: tuple[LatentDtype, ...] = get_args(LatentDtype)
_DTYPE_CHARS = [np.dtype(name).char for name in LATENT_DTYPES]  # equal in both byte orders
_ITEMS_AT_ONCE = 1024  # of a list: with fewer, one array takes little memory
_CHECKED_AT_ONCE = 1024  # bounds memory: the result of np.isfinite takes one byte per value
MAX_SYMBOL = 127  # the symbols are symmetric around 0, so -128 is never written


def as_latent_dtype(dtype: DTypeLike) -> LatentDtype:
    """Return the name of a dtype that latents can have; "int8" and np.int8 are the same.

    Raises ArgumentError for any other dtype.
    """
    if type(dtype) is str and dtype in LATENT_DTYPES:
        return dtype
    for name in LATENT_DTYPES:
        try:
            if np.dtype(dtype) == name:
                return name
        except Exception:  # numpy raises all kinds of errors for an invalid dtype
            break
    raise ArgumentError("dtype", f"of latents is {shown(dtype)}; expected one of {', '.join(LATENT_DTYPES)}")


def as_latent_batch(latents: object, size: int, for_integers: str = "") -> tuple[Stack, bool]:
    """Check `latents` and return them as (N, size) with their dtype, and whether they were a single vector.

    A long list is checked as its parts are taken. Raises InputError if the shape is not (size,) or (N, size), the
    dtype is not float32, float16 or int8, or a value is not finite. `for_integers` is added to the message about
    another integer dtype.
    """
    if isinstance(latents, np.ndarray):  # which needs none of the steps for lists
        return _checked(_to_latents(latents, for_integers), size)
    return as_stack(
        latents, "latents", lambda part: _checked(_to_latents(part, for_integers), size), _ITEMS_AT_ONCE
    )


def as_symbol_batch(symbols: object, size: int) -> tuple[Stack, bool]:
    """Check the symbols of a .fmae file and return them as `as_latent_batch` does latents.

    Raises InputError if the shape is not (size,) or (N, size), or the dtype is not an integer dtype.
    """
    return as_stack(symbols, "latents", lambda part: _checked(_to_symbols(part), size), _ITEMS_AT_ONCE)


def _to_latents(values: object, for_integers: str) -> NDArray[Any]:
    array = to_array(values, "latents")
    if array.dtype.char not in _DTYPE_CHARS:
        end = for_integers if array.dtype.kind in "iu" else ""
        raise InputError(
            f"latents have dtype {array.dtype}; expected float32 or float16 values, or int8 symbols{end}"
        )
    return array


def _to_symbols(values: object) -> NDArray[Any]:
    array = to_array(values, "latents")
    if array.dtype.kind not in "iu":
        raise InputError(
            f"latents have dtype {array.dtype}; with a quality, expected integers as Codec.symbols returns them"
        )
    return array


def _checked(array: NDArray[Any], size: int) -> tuple[NDArray[Any], bool]:
    if array.ndim not in (1, 2) or array.shape[-1] != size:
        raise InputError(f"latents have shape {array.shape}; expected ({size},) for one image or (N, {size})")
    batch = array[None] if array.ndim == 1 else array
    if array.dtype.kind == "f" and not all_finite(batch):
        raise InputError("latents contain NaN or infinity; every value must be finite")
    return batch, array.ndim == 1


def all_finite(latents: NDArray[Any]) -> bool:
    """Return whether no value of latents (N, size) is NaN or infinite."""
    if len(latents) > _CHECKED_AT_ONCE:
        return all(all_finite(latents[part]) for part in slices(len(latents), _CHECKED_AT_ONCE))
    return int(np.count_nonzero(np.isfinite(latents))) == latents.size  # in half the time of .all()


def to_dtype(latents: NDArray[np.float32], dtype: LatentDtype, steps: NDArray[np.float32]) -> NDArray[Any]:
    """Convert latent values (N, size) to `dtype`: float32, float16, or int8 symbols in quantiser `steps`."""
    if dtype == "int8":
        symbols: NDArray[np.int8] = np.clip(np.rint(latents / steps), -MAX_SYMBOL, MAX_SYMBOL).astype(np.int8)
        return symbols
    if dtype == "float16":
        limit = np.finfo(np.float16).max
        halves: NDArray[np.float16] = np.clip(latents, -limit, limit).astype(np.float16)
        return halves
    return latents


def to_values(latents: NDArray[Any], steps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return checked latents of any dtype as float32 values: symbols are multiplied by `steps`."""
    values: NDArray[np.float32] = latents.astype(np.float32)
    if latents.dtype == np.int8:
        values *= steps
    return values
