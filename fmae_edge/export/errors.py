"""The errors of export and parity."""

from fmae_edge.runtime.errors import FmaeError


class ExportError(FmaeError):
    """A model that cannot be turned into a bundle as promised."""


class ParityError(ExportError):
    """Exported graphs that do not compute what the model computes."""
