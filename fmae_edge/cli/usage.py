"""The error of a call that makes no sense."""

from fmae_edge.runtime.errors import FmaeError


class UsageError(FmaeError):
    """Arguments that contradict each other or mean nothing, whatever the files hold: exit code 2."""
