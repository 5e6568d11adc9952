"""Run the runtime's tests on the oldest and the newest supported Python, in native root file systems.

The oldest Python gets the oldest supported release of each package, the newest the newest ones.
"""

import tomllib
from pathlib import Path
from typing import NamedTuple

from tests.platforms.debian_root import REPOSITORY, make_root

_TESTS = "tests/runtime"
_LEFT_OUT = "tests/runtime/test_memory.py"  # it takes as long as all others
# PyTorch is left out, because it is large: the few tests that need it are skipped
_TOOLS = ("pytest", "hypothesis", "safetensors", "onnx")


class Python(NamedTuple):
    """The Python of the first of these releases of Debian, with the oldest or the newest packages."""

    releases: tuple[str, ...]
    oldest_packages: bool


PYTHONS = (
    Python(("bookworm",), True),  # 3.11
    Python(("forky", "trixie"), False),  # 3.14, 3.13
)


class PythonOutcome(NamedTuple):
    """The Python and the packages, the last lines of pytest, and its whole output if a test failed."""

    name: str
    summary: str
    problem: str


def check_python(python: Python, roots: Path) -> PythonOutcome:
    """Run the runtime's tests. Raises CannotRunError if there is no root file system or no wheel for it."""
    root = make_root(roots, "amd64", (), python.releases)
    packages = requirements(python.oldest_packages)
    root.install([*packages, *_TOOLS])
    root.copy_repository()
    options = ("-q", "-p", "no:cacheprovider", "--rootdir=/code", "-c", "/code/pyproject.toml")
    done = root.run_python(["-m", "pytest", *options, f"--ignore=/code/{_LEFT_OUT}", f"/code/{_TESTS}"])
    lines = done.stdout.strip().splitlines() or [""]
    problem = f"{done.stdout}{done.stderr}" if done.returncode else ""
    name = f"Python {root.python} with {', '.join(packages)}"
    return PythonOutcome(name, lines[-1], problem)


def requirements(oldest: bool) -> list[str]:
    """Return what `pip install fmae-edge[cli]` installs, at its lower bounds if `oldest`."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    packages = [*project["dependencies"], *project["optional-dependencies"]["cli"]]
    return [package.replace(">=", "==") if oldest else package for package in packages]
