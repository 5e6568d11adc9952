"""A codec of zarr v3 for arrays of images: `serializer=FmaeCodec(...)`, which zarr finds by its name in a store.

    import zarr
    from fmae_edge.zarr import FmaeCodec

    array = zarr.create_array(
        "images.zarr",
        shape=(60000, 28, 28),
        chunks=(1000, 28, 28),
        dtype="uint8",
        serializer=FmaeCodec(bundle="default", quality=5),
        compressors=None,
    )

It is lossy, and writing a part of a chunk codes the rest of it again: write whole chunks.
"""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from fmae_edge.numcodecs import NAME
from fmae_edge.numcodecs import FmaeCodec as ChunkCodec
from fmae_edge.runtime.errors import InputError, shown
from fmae_edge.runtime.extras import needs_extra
from fmae_edge.runtime.fmae_writer import DEFAULT_QUALITY

with needs_extra("zarr"):
    from zarr.abc.codec import ArrayBytesCodec

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer
    from zarr.core.chunk_grids import ChunkGrid
    from zarr.core.common import JSON
    from zarr.core.dtype.wrapper import ZDType


@dataclass(frozen=True)
class FmaeCodec(ArrayBytesCodec):
    """Store each chunk of uint8 images (..., H, W), or (..., H, W, 3), as a .fmae file.

    `bundle` is a folder, or the name of a built-in one, and says what H and W are; `quality` is 1 to 9.

    Raises InputError if an argument is invalid.
    """

    bundle: str = "default"
    quality: int = DEFAULT_QUALITY

    is_fixed_size = False

    def __post_init__(self) -> None:
        checked = ChunkCodec(self.bundle, self.quality)
        object.__setattr__(self, "bundle", checked.bundle)  # a path becomes text for JSON
        object.__setattr__(self, "quality", checked.quality)

    @cached_property
    def _chunks(self) -> ChunkCodec:
        return ChunkCodec(self.bundle, self.quality)

    @classmethod
    def from_dict(cls, data: "dict[str, JSON]") -> Self:
        """Return the codec that `to_dict` describes. Raises InputError for other arguments."""
        configuration = data.get("configuration", {})
        if not isinstance(configuration, Mapping):
            raise InputError(f"the configuration of {NAME} is {shown(configuration)}; expected a JSON object")
        checked = ChunkCodec.from_config(configuration)
        return cls(checked.bundle, checked.quality)

    def to_dict(self) -> "dict[str, JSON]":
        """Return the name and the arguments, for zarr.json."""
        return {"name": NAME, "configuration": {"bundle": self.bundle, "quality": self.quality}}

    def validate(
        self,
        *,
        shape: tuple[int, ...],  # noqa: ARG002
        dtype: "ZDType[Any, Any]",
        chunk_grid: "ChunkGrid",
    ) -> None:
        """Raise InputError unless chunks consist of images of the bundle, BundleError if this cannot be read."""
        chunks = getattr(chunk_grid, "chunk_shape", None)
        if chunks is not None:  # chunks of several shapes are checked when they are written
            self._chunks.require_images(chunks, dtype.to_native_dtype())

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: "ArraySpec") -> int:
        """Raise NotImplementedError: the size depends on the images."""
        raise NotImplementedError

    async def _encode_single(self, chunk_data: "NDBuffer", chunk_spec: "ArraySpec") -> "Buffer":
        content = await asyncio.to_thread(self._chunks.encode, chunk_data.as_numpy_array())
        return chunk_spec.prototype.buffer.from_bytes(content)

    async def _decode_single(self, chunk_data: "Buffer", chunk_spec: "ArraySpec") -> "NDBuffer":
        images = await asyncio.to_thread(self._chunks.decode, chunk_data.to_bytes())
        if images.size != math.prod(chunk_spec.shape):
            raise InputError(
                f"a chunk has images of shape {images.shape}; this array has chunks of {chunk_spec.shape}"
            )
        return chunk_spec.prototype.nd_buffer.from_numpy_array(images.reshape(chunk_spec.shape))
