"""The errors of training."""

from fmae_edge.runtime.errors import FmaeError


class DataError(FmaeError):
    """A data set that is missing, short or not the one that was asked for."""


class RunError(FmaeError):
    """A run folder that cannot be started, continued or read."""
