"""A numcodecs codec for chunks of images, which numcodecs and zarr find by its name.

    import numcodecs

    codec = numcodecs.get_codec({"id": "fmae_edge", "bundle": "default", "quality": 5})
    images = codec.decode(codec.encode(images))  # (N, 28, 28) uint8

It is lossy: the images come back with the quality of the bundle, not with the same pixels.
"""

import os
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.bundle.built_in import as_bundle_folder, portable
from fmae_edge.runtime.codec import Codec
from fmae_edge.runtime.errors import InputError, shown
from fmae_edge.runtime.extras import needs_extra
from fmae_edge.runtime.fmae_writer import DEFAULT_QUALITY, as_quality

with needs_extra("zarr"):
    from numcodecs.abc import Codec as NumcodecsCodec
    from numcodecs.compat import ensure_bytes, ndarray_copy

NAME = "fmae_edge"


class FmaeCodec(NumcodecsCodec):  # type: ignore[misc]  # numcodecs has no types
    """Encode chunks of uint8 images (..., H, W), or (..., H, W, 3), as .fmae files.

    `bundle` is a folder, or the name of a built-in one, and says what H and W are; `quality` is 1 to 9. Any number
    of threads may share a codec. The bundle is read at the first chunk.

    Raises InputError if an argument is invalid.
    """

    codec_id = NAME

    def __init__(self, bundle: str | os.PathLike[str] = "default", quality: int = DEFAULT_QUALITY) -> None:
        self.bundle, self.quality = _as_text(bundle), as_quality(quality)

    @cached_property
    def _codec(self) -> Codec:
        return Codec(self.bundle)

    def get_config(self) -> dict[str, Any]:
        """Return the name of the codec and its arguments, for JSON."""
        return {"id": self.codec_id, "bundle": self.bundle, "quality": self.quality}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "FmaeCodec":
        """Return the codec with the arguments in `config`. Raises InputError for others."""
        if unknown := sorted(config.keys() - {"bundle", "quality"}):
            raise InputError(f"the codec {NAME} has no {shown(unknown[0])}; it takes bundle and quality")
        return cls(**config)

    def require_images(self, shape: tuple[int, ...], dtype: Any) -> None:
        """Raise InputError unless a chunk of this shape and dtype consists of images of the bundle."""
        image = self._codec.manifest.image_shape
        if np.dtype(dtype) != np.uint8:
            raise InputError(f"a chunk has dtype {np.dtype(dtype)}; fmae_edge codes uint8 images")
        if shape[-len(image) :] != image:
            sides = ", ".join(map(str, image))
            raise InputError(f"a chunk has shape {shape}; the images of bundle {self.bundle} need (..., {sides})")

    def encode(self, buf: Any) -> bytes:
        """Return the bytes of a .fmae file of a chunk (..., H, W), in C order.

        Raises InputError if it does not consist of images of the bundle, BundleError if this cannot be read.
        """
        chunk = np.asarray(buf)
        self.require_images(chunk.shape, chunk.dtype)
        if chunk.flags.f_contiguous and not chunk.flags.c_contiguous:
            raise InputError("a chunk is in Fortran order, in which images are not contiguous; use order='C'")
        images = chunk.reshape(-1, *self._codec.manifest.image_shape)
        return self._codec.compress_batch(images, self.quality)

    def decode(self, buf: Any, out: Any = None) -> NDArray[np.uint8]:
        """Return the images (N, H, W) in the bytes of a chunk; with `out`, write them there.

        Raises InputError if the bytes are damaged or made by another bundle, BundleError as `encode` does.
        """
        images = self._codec.decompress_batch(ensure_bytes(buf))
        return images if out is None else ndarray_copy(images, out)


def _as_text(bundle: object) -> str:
    """Return a bundle as JSON has it: a str as it is, a path as an absolute one, because `detail` is a name."""
    return bundle if isinstance(bundle, str) else str(portable(as_bundle_folder(bundle)))
