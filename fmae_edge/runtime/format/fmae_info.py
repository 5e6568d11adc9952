"""Describe a .fmae file without decoding an image."""

from dataclasses import dataclass

from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.format.fmae_file import FmaeFile


@dataclass(frozen=True)
class FmaeInfo:
    """The header of a .fmae file: `images` is how many it holds, `single` whether it is one image, not a stack.

    `payload_bytes` is the size of each image's payload, `file_bytes` that of the file. `names` is None if the file
    has no names, or names that docs/format.md refuses: then `names_error` says why.
    """

    format_version: int
    bundle_id: str
    quality: int
    images: int
    single: bool
    file_bytes: int
    payload_bytes: tuple[int, ...]
    names: tuple[str, ...] | None
    names_error: str | None


def describe(file: FmaeFile) -> FmaeInfo:
    """Describe a parsed file."""
    names, names_error = None, None
    try:
        names = file.names
    except InputError as error:
        names_error = str(error)
    return FmaeInfo(
        format_version=file.version,
        bundle_id=file.bundle_id,
        quality=file.quality,
        images=len(file.payloads),
        single=file.single,
        file_bytes=file.file_bytes,
        payload_bytes=tuple(file.payloads.lengths.tolist()),
        names=names,
        names_error=names_error,
    )
