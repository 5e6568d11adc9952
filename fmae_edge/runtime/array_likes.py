"""Types of what callers give to the codec, for type checkers: array-likes and bytes-likes, not a path or str."""

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray


class _HasArray(Protocol):
    """An array of numpy, or what makes itself one: a tensor of PyTorch."""

    def __array__(self) -> NDArray[Any]: ...


class _HasArrayInterface(Protocol):
    """What shows its memory to numpy: an image of Pillow."""

    @property
    def __array_interface__(self) -> dict[str, Any]: ...


_Array = _HasArray | _HasArrayInterface
# Lists have a type per depth: a list to any depth would let text pass, whose characters are texts again
_Rows = Sequence[Sequence[float]]
_Image = _Array | _Rows
ImageLike = _Image | Sequence[_Image] | Sequence[Sequence[_Image]]
# Lists of integers are symbols; one of floats would have float64, which is not a dtype of latents
LatentLike = _Array | Sequence[_Array] | Sequence[int] | Sequence[Sequence[int]]
BytesLike = bytes | bytearray | memoryview
