"""Choose the device and the precision of training, and keep the memory of freed tensors."""

import ctypes
import sys
from typing import Literal

import torch

from fmae_edge.runtime.errors import InputError

DeviceName = Literal["auto", "cpu", "cuda", "mps"]

# Parameter numbers of mallopt(3)
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_MAX_MMAP_THRESHOLD = 32 << 20  # glibc ignores larger ones


def resolve_device(name: DeviceName) -> torch.device:
    """Return the device called `name`; "auto" is the first available of cuda, mps and cpu.

    Raises InputError if this machine does not have it.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, present in available.items() if present))
    if not available[name]:
        raise InputError(f"device {name} is not available on this machine; use --device auto or cpu")
    return torch.device(name)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Return whether `device` multiplies bfloat16 in hardware. Emulation is 10 times slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        if not hasattr(torch.cpu, "get_capabilities"):  # missing in releases near torch 2.6
            return False
        features = torch.cpu.get_capabilities()
        return bool(features.get("avx512_bf16") or features.get("amx_bf16"))
    return False


def keep_freed_memory() -> None:
    """Stop glibc from returning large freed blocks to the system.

    By default, each large tensor of a training step is mapped anew, and the system clears all of its pages. This
    takes a tenth or more of the time of a step on the CPU. Does nothing with another C library.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MAX_MMAP_THRESHOLD)
        mallopt(_M_TRIM_THRESHOLD, 1 << 30)
        mallopt(_M_TOP_PAD, 64 << 20)
