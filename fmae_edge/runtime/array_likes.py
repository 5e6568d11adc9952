"""Types of what callers give to the codec, for type checkers: array-likes and bytes-likes, not a path or str."""

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray


class _HasArray(Protocol):
    """A numpy array, or an object that converts itself to one, such as a PyTorch tensor."""

    def __array__(self) -> NDArray[Any]: ...


class _HasArrayInterface(Protocol):
    """An object whose memory numpy can read, such as a Pillow image."""

    @property
    def __array_interface__(self) -> dict[str, Any]: ...


_Array = _HasArray | _HasArrayInterface
# One type per depth of nested lists: a recursive type would accept a str, whose items are str again
_Rows = Sequence[Sequence[float]]
_Image = _Array | _Rows
ImageLike = _Image | Sequence[_Image] | Sequence[Sequence[_Image]]
# Lists of integers are symbols; one of floats would have float64, which is not a dtype of latents
LatentLike = _Array | Sequence[_Array] | Sequence[int] | Sequence[Sequence[int]]
BytesLike = bytes | bytearray | memoryview
