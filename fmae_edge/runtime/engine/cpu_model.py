"""Name this machine's CPU and its int8 instructions, and say whether int8 graphs for a kind of CPU suit it."""

import platform
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path

_DOT_PRODUCTS = ("avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm")
_SAFE_TARGET = "avx2"  # of `fmae-edge export --int8-target`: with its weights, 16-bit sums do not overflow
_CURE = f"fmae-edge export --int8-target {_SAFE_TARGET} writes graphs for it"
# Names by implementer and part: Linux, arch/arm64/include/asm/cputype.h and arch/arm/include/asm/cputype.h
_ARM_IMPLEMENTERS = {
    0x41: "ARM",
    0x43: "Cavium",
    0x48: "HiSilicon",
    0x4E: "NVIDIA",
    0x51: "Qualcomm",
    0x61: "Apple",
    0xC0: "Ampere",
}
_ARM_PARTS = {
    (0x41, 0xB76): "ARM1176",
    (0x41, 0xC07): "Cortex-A7",
    (0x41, 0xC08): "Cortex-A8",
    (0x41, 0xC09): "Cortex-A9",
    (0x41, 0xC0F): "Cortex-A15",
    (0x41, 0xD03): "Cortex-A53",
    (0x41, 0xD04): "Cortex-A35",
    (0x41, 0xD05): "Cortex-A55",
    (0x41, 0xD07): "Cortex-A57",
    (0x41, 0xD08): "Cortex-A72",
    (0x41, 0xD09): "Cortex-A73",
    (0x41, 0xD0A): "Cortex-A75",
    (0x41, 0xD0B): "Cortex-A76",
    (0x41, 0xD0C): "Neoverse N1",
    (0x41, 0xD0D): "Cortex-A77",
    (0x41, 0xD40): "Neoverse V1",
    (0x41, 0xD41): "Cortex-A78",
    (0x41, 0xD44): "Cortex-X1",
    (0x41, 0xD46): "Cortex-A510",
    (0x41, 0xD47): "Cortex-A710",
    (0x41, 0xD48): "Cortex-X2",
    (0x41, 0xD49): "Neoverse N2",
    (0x41, 0xD4D): "Cortex-A715",
    (0x41, 0xD4E): "Cortex-X3",
    (0x41, 0xD4F): "Neoverse V2",
    (0x41, 0xD80): "Cortex-A520",
    (0x41, 0xD81): "Cortex-A720",
    (0x41, 0xD82): "Cortex-X4",
    (0x41, 0xD84): "Neoverse V3",
    (0x4E, 0x004): "Carmel",
    (0xC0, 0xAC3): "Ampere-1",
    (0xC0, 0xAC4): "Ampere-1A",
}


def cpu_name(root: Path = Path("/")) -> str:
    """Return the name of the CPU as Linux reports it, or else that of the architecture.

    Linux reports ARM cores by number: the name has each kind of core, and the board if it is known. `root` is the
    folder with /proc.
    """
    lines = _pairs(_text(root / "proc/cpuinfo").splitlines())
    cores = dict.fromkeys(_arm_cores(lines))  # in their order, each once
    board = _text(root / "proc/device-tree/model").strip("\0\n ")
    if cores:
        return ", ".join(cores) + (f" ({board})" if board else "")
    return dict(lines).get("model name") or board or platform.processor() or platform.machine()


def _arm_cores(lines: list[tuple[str, str]]) -> Iterator[str]:
    """Yield the name of each core, or its numbers if it is not in the table."""
    implementer = 0
    for key, value in lines:
        try:
            if key == "CPU implementer":
                implementer = int(value, 16)
            elif key == "CPU part":
                part = int(value, 16)
                maker = _ARM_IMPLEMENTERS.get(implementer, f"ARM CPU of implementer {implementer:#04x}")
                yield _ARM_PARTS.get((implementer, part), f"{maker} part {part:#05x}")
        except ValueError:  # not a number: an emulator's file
            continue


def dot_products(root: Path = Path("/")) -> tuple[str, ...]:
    """Return this CPU's instructions for int8 dot products, as Linux names them."""
    try:
        with Path(root, "proc/cpuinfo").open() as lines:  # of the first CPU: hundreds would take milliseconds
            info = dict(_pairs(takewhile(str.strip, lines)))
    except (OSError, UnicodeDecodeError):
        return ()
    flags = info.get("flags", info.get("Features", "")).split()
    return tuple(flag for flag in _DOT_PRODUCTS if flag in flags)


def suitability(int8_target: str) -> str:
    """Return a sentence on whether int8 graphs for this target of `fmae-edge export` suit this CPU.

    The weights for other targets than avx2 overflow on x86 without dot products, which adds in 16 bits. x86 has no
    instruction that multiplies the int8 activations for arm.
    """
    if platform.machine() in ("x86_64", "AMD64"):
        if int8_target == "arm":
            return f"for arm, and many times slower than others on this CPU: {_CURE}"
        if int8_target != _SAFE_TARGET and not dot_products():
            return f"for {int8_target}, and may saturate on this CPU, which makes images wrong: {_CURE}"
    return f"for {int8_target}, no saturation on this CPU"


def _pairs(lines: Iterable[str]) -> list[tuple[str, str]]:
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return [(key.strip(), value.strip()) for key, value in pairs]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
