"""The errors of training."""

from fmae_edge.runtime.errors import FmaeError


class RunError(FmaeError):
    """A run folder that cannot be started, continued or read."""
