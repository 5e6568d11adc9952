"""Let glibc keep the memory of freed tensors."""

import ctypes
import sys

# Numbers of mallopt(3)
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_MAX_MMAP_THRESHOLD = 32 << 20  # glibc ignores larger ones


def keep_freed_memory() -> None:
    """Stop the C library from giving large blocks back to the system after each use.

    By default, each large tensor of a step is mapped again, and the system clears every page of it. This takes a
    tenth of the time of a training step on the CPU, or more. Does nothing if the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MAX_MMAP_THRESHOLD)
        mallopt(_M_TRIM_THRESHOLD, 1 << 30)
        mallopt(_M_TOP_PAD, 64 << 20)
