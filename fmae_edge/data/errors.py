"""The errors of data sets."""

from fmae_edge.runtime.errors import FmaeError


class DataError(FmaeError):
    """A data set that is missing, too short, or not the one that was asked for."""
