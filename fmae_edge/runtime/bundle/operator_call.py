"""One operator of a graph with its inputs and attributes, and the checks that the rules of `operators` share.

Each check raises ValueError with a message that continues the sentence "operator 3 (Conv) is refused: ...".
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fmae_edge.runtime.bundle.onnx_file import INT64, MAX_RANK, Constant, Shape


class Value(NamedTuple):
    """The result of an operator for one image."""

    dtype: int
    shape: Shape


class Call(NamedTuple):
    """One operator of a graph: its first input, its other inputs, which are constants, and its attributes."""

    value: Value
    given: Sequence[Constant | None]  # None for an input that is left out
    attributes: Mapping[str, Any]

    def takes(self, dtypes: Sequence[int], rank: int | None = None) -> Shape:
        """Return the shape of the first input, which must have one of these types, and `rank` dimensions."""
        if self.value.dtype not in dtypes or rank not in (None, len(self.value.shape)):
            raise ValueError(f"it cannot take an input of type {self.value.dtype} and shape {self.value.shape}")
        return self.value.shape

    def constants(self, *wanted: tuple[int, Shape]) -> None:
        """Raise ValueError unless the constants have these types and shapes."""
        found = tuple(one and (one.dtype, one.shape) for one in self.given)
        if found != wanted:
            raise ValueError(f"its constants have types and shapes {found}, expected {wanted}")

    def pair(self) -> tuple[Constant | None, Constant | None]:
        """Return the two constants, either of which may be left out."""
        if len(self.given) != 2:
            raise ValueError(f"it needs 2 constants, and has {len(self.given)}")
        return self.given[0], self.given[1]

    def attribute(self, name: str) -> Any:
        """Return an attribute that may not be left out, because its default is not what export writes."""
        if name not in self.attributes:
            raise ValueError(f"its attribute {name!r} is missing")
        return self.attributes[name]

    def matrix(self, place: int, rank: int) -> Shape:
        """Return the shape of the constant in that place, which must have `rank` dimensions."""
        constant = self._constant(place)
        if constant is None or len(constant.shape) != rank:
            raise ValueError(f"its weights do not have {rank} dimensions")
        return constant.shape

    def integers(self, place: int, per_dimension: int = 1) -> tuple[int, ...]:
        """Return the numbers of the constant in that place, a vector of at most `per_dimension` per dimension."""
        constant = self._constant(place)
        most = MAX_RANK * per_dimension
        if constant is None or constant.dtype != INT64 or len(constant.shape) != 1 or constant.shape[0] > most:
            raise ValueError("one of its constants must be a short vector of INT64 numbers")
        return constant.integers()

    def _constant(self, place: int) -> Constant | None:
        return self.given[place] if place < len(self.given) else None


def require(holds: bool, problem: str) -> None:
    """Raise ValueError with the message `problem` unless `holds`; for a message with values, use `if` instead.

    Most checks pass, and formatting the values takes longer than the check.
    """
    if not holds:
        raise ValueError(problem)
