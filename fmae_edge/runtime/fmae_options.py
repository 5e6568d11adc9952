"""The content and the options of .fmae files, as an application gives them."""

from fmae_edge.runtime.arrays import as_integer
from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.fmae_file import MAX_IMAGES
from fmae_edge.runtime.manifest import QUALITIES
from fmae_edge.runtime.search import MAX_EFFORT

DEFAULT_QUALITY = 5
BytesLike = bytes | bytearray | memoryview


def as_options(quality: object, effort: object, max_bytes: object) -> tuple[int, int, int | None]:
    """Return the options of `Codec.compress` as integers. Raises InputError if one is none or out of range."""
    numbers = []
    for name, value, least, most in (("quality", quality, 1, QUALITIES), ("effort", effort, 0, MAX_EFFORT)):
        numbers.append(as_integer(name, value))
        if not least <= numbers[-1] <= most:
            raise InputError(f"{name} is {value}; expected an integer from {least} to {most}")
    return numbers[0], numbers[1], None if max_bytes is None else as_integer("max_bytes", max_bytes)


def as_max_images(max_images: object) -> int:
    """Return how many images a file may hold, by default as many as any.

    Raises InputError if `max_images` is not an integer from 0 up.
    """
    most = MAX_IMAGES if max_images is None else as_integer("max_images", max_images)
    if most < 0:
        raise InputError(f"max_images is {most}; expected 0 or more")
    return most


def as_bytes(content: object) -> bytes:
    """Return what any bytes-like object holds, whatever its strides. Raises InputError for anything else."""
    if isinstance(content, bytes):
        return content
    try:
        return memoryview(content).tobytes()  # type: ignore[arg-type]
    except (TypeError, ValueError):  # not a buffer, or one that was released
        raise InputError(f"expected the bytes of a .fmae file, got {type(content).__name__}") from None
