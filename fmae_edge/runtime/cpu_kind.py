"""What kind of CPU this is, and whether it multiplies int8 numbers as a bundle's graphs need."""

import platform
from pathlib import Path

_DOT_PRODUCTS = ("avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm")
_SAFE_TARGET = "avx2"  # of `fmae-edge export --int8-target`: its weights fit into sums of 16 bits


def cpu_name() -> str:
    """Return the CPU's name, where Linux says it, else the architecture's."""
    return _cpu_info().get("model name") or platform.processor() or platform.machine()


def dot_products() -> tuple[str, ...]:
    """Return the instructions for int8 dot products that this CPU has, where Linux names them."""
    info = _cpu_info()
    flags = info.get("flags", info.get("Features", "")).split()
    return tuple(flag for flag in _DOT_PRODUCTS if flag in flags)


def may_saturate(int8_target: str) -> bool:
    """Whether int8 graphs written for that target may overflow here: x86 without dot products adds in 16 bits."""
    return int8_target != _SAFE_TARGET and platform.machine() in ("x86_64", "AMD64") and not dot_products()


def _cpu_info() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}
