"""The errors of export and parity."""

from fmae_edge.runtime.errors import FmaeError


class ExportError(FmaeError):
    """A model that cannot be exported as a bundle."""


class ParityError(ExportError):
    """Exported graphs differ too much from the model."""
