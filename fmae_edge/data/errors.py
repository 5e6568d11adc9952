"""Errors of data sets."""

from fmae_edge.runtime.errors import FmaeError


class DataError(FmaeError):
    """A data set is missing, truncated, or not the expected one."""
