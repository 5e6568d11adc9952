"""The CPUs that are emulated, and what is checked on each: golden files, the self-test, files of this machine."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fmae_edge import Codec
from tests.platforms.debian_root import REPOSITORY, make_root

# The newest first, for the newest Python. A mirror may lack packages of one of them
_RELEASES = ("forky", "trixie", "bookworm")
_GOLDEN_TESTS = "tests/spec/test_golden_files.py"
_IDX_HEADER_BYTES = 16
_MUST_BE_ZERO = ("wrong_symbols", "wrong_payloads")


class Cpu(NamedTuple):
    """A CPU: its name, Debian's and QEMU's names for it, whether pip has wheels for it and CI checks it."""

    name: str
    architecture: str
    model: str | None
    wheels: bool
    in_ci: bool = False


# The usual pointer authentication of `max` is slow to emulate
CPUS = (
    Cpu("ARM64, oldest", "arm64", "cortex-a53", True, in_ci=True),
    Cpu("ARM64, servers", "arm64", "neoverse-n1", True),
    Cpu("ARM64, all extensions", "arm64", "max,pauth-impdef=on", True),
    Cpu("ARMv7, 32-bit", "armhf", "cortex-a15", False),
    Cpu("RISC-V, 64-bit", "riscv64", None, False),
    Cpu("POWER, little-endian", "ppc64el", None, False),
    Cpu("s390x, big-endian", "s390x", None, False, in_ci=True),
    Cpu("x86-64 with SSE4.2", "amd64", "Nehalem", True),
    Cpu("x86-64 with AVX2", "amd64", "Haswell", True),
)


class CpuOutcome(NamedTuple):
    """What was found on a CPU: the last line of the golden tests, and facts of compare.py.

    `problem` says what is wrong, and `without_graphs` why no graphs were run; both are empty if all is well.
    """

    cpu: Cpu
    release: str
    golden_tests: str
    facts: dict[str, Any]
    without_graphs: str
    problem: str

    @property
    def name(self) -> str:
        """The CPU and the versions."""
        versions = [f"{name} {self.facts.get(name, 'none')}" for name in ("python", "numpy", "onnxruntime")]
        return ", ".join([self.cpu.name, f"Debian {self.release}", *versions])

    @property
    def summary(self) -> str:
        """The results in one line."""
        symbols = f"{self.facts.get('wrong_symbols', 'no')} of {self.facts.get('symbols', 'no')} symbols wrong"
        return f"golden files {self.golden_tests}; {symbols}"


def write_reference(path: Path, images: int, qualities: Sequence[int]) -> None:
    """Write `images` test images, and for each quality the file, symbols and pixels that this machine computes."""
    content = gzip.decompress((REPOSITORY / "tests/data/test-images-256.idx3-ubyte.gz").read_bytes())
    stack = np.frombuffer(content, np.uint8, offset=_IDX_HEADER_BYTES).reshape(-1, 28, 28)[:images]
    codec = Codec()
    arrays: dict[str, NDArray[Any]] = {"images": stack}
    for quality in qualities:
        file = codec.compress_batch(stack, quality)
        arrays[f"{quality}.file"] = np.frombuffer(file, np.uint8)
        arrays[f"{quality}.symbols"] = codec.symbols(file)
        arrays[f"{quality}.pixels"] = codec.decompress_batch(file)
    np.savez(path, allow_pickle=False, **arrays)


def check_cpu(cpu: Cpu, roots: Path, reference: Path) -> CpuOutcome:
    """Run the golden tests and compare.py on an emulated CPU; its root file system lies in the folder `roots`.

    Raises CannotRunError if the root cannot be made.
    """
    packages = () if cpu.wheels else ("python3-numpy", "python3-onnxruntime")
    root = make_root(roots, cpu.architecture, packages, _RELEASES)
    root.install(["pytest", *(["numpy", "onnxruntime"] if cpu.wheels else [])])
    root.copy_repository()
    (root.folder / "code/reference.npz").write_bytes(reference.read_bytes())
    problems = []
    pytest = ("-m", "pytest", "-q", "--noconftest", "--import-mode=importlib", "-p", "no:cacheprovider")
    golden = root.run_python([*pytest, f"/code/{_GOLDEN_TESTS}"], cpu.model)
    if golden.returncode:
        problems.append(f"the golden tests fail: {golden.stdout}{golden.stderr}")
    imported = root.run_python(["-c", "import onnxruntime"], cpu.model)
    without = f"onnxruntime cannot be loaded: {_last_line(imported.stderr)}" if imported.returncode else ""
    graphs = () if without else ("--graphs",)
    done = root.run_python(["/code/tests/platforms/compare.py", "/code/reference.npz", *graphs], cpu.model)
    facts: dict[str, Any] = {}
    if done.returncode:
        problems.append(f"compare.py fails: {done.stderr}")
    else:
        facts = json.loads(_last_line(done.stdout))
        problems += [f"{facts[name]} {name.replace('_', ' ')}" for name in _MUST_BE_ZERO if facts[name]]
        if facts.get("self_test_fails"):
            problems.append(f"the self-test fails: {facts['self_test_fails']}")
    return CpuOutcome(cpu, root.release, _last_line(golden.stdout), facts, without, "; ".join(problems))


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]
