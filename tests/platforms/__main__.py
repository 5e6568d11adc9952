"""Test the runtime on other CPUs and Pythons: `python -m tests.platforms ci` or `cpus`, as root on Debian."""

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.platforms.cpus import CPUS, CpuOutcome, check_cpu, write_reference
from tests.platforms.debian_root import CannotRunError, require_tools
from tests.platforms.pythons import PYTHONS, PythonOutcome, check_python
from tests.platforms.table import heading, row, row_without_root


def main() -> int:
    """Run the checks, print what was found, and return the exit code: 1 if a check fails or cannot run."""
    parser = argparse.ArgumentParser(prog="python -m tests.platforms", description=__doc__)
    parser.add_argument(
        "checks",
        choices=("ci", "cpus"),
        help="ci: ARM64 and s390x, the oldest and the newest Python, in two minutes; cpus: 256 images at three "
        "qualities on each CPU, and the table of docs/platforms.md",
    )
    parser.add_argument("--roots", type=Path, help="keep root file systems in this folder, and use those in it")
    given = parser.parse_args()
    try:
        require_tools()
        with tempfile.TemporaryDirectory() as temporary:
            roots = (given.roots or Path(temporary) / "roots").absolute()
            roots.mkdir(parents=True, exist_ok=True)
            check = check_for_ci if given.checks == "ci" else check_every_cpu
            return check(roots, Path(temporary) / "reference.npz")
    except CannotRunError as error:
        print(f"this check cannot run: {error}", file=sys.stderr)
        return 1


def check_for_ci(roots: Path, reference: Path) -> int:
    """Check two CPUs and two Pythons, as many at a time as this machine has CPUs."""
    write_reference(reference, images=16, qualities=(1, 5, 9))
    started = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        on_cpus = [pool.submit(check_cpu, cpu, roots, reference) for cpu in CPUS if cpu.in_ci]
        on_pythons = [pool.submit(check_python, python, roots) for python in PYTHONS]
    failed = 0
    outcomes: list[CpuOutcome | PythonOutcome] = [check.result() for check in on_cpus]
    outcomes += [check.result() for check in on_pythons]
    for outcome in outcomes:
        print(f"{outcome.name}: {outcome.summary}")
        if outcome.problem:  # pytest's output, or sentences
            print(f"FAILED: {outcome.problem}")
            failed += 1
    print(f"checked in {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


def check_every_cpu(roots: Path, reference: Path) -> int:
    """Check every CPU, as many at a time as this machine has, and print a table, each row when it is known.

    CPUs of one architecture share a root file system, so they are checked one after another.
    """
    write_reference(reference, images=256, qualities=(1, 5, 9))
    print(heading(), flush=True)

    def problems(architecture: str) -> int:
        found = 0
        for cpu in (each for each in CPUS if each.architecture == architecture):
            try:
                outcome = check_cpu(cpu, roots, reference)
            except CannotRunError as error:
                print(row_without_root(cpu, str(error)), flush=True)
                found += 1
                continue
            print(row(outcome), flush=True)
            if outcome.problem:
                print(f"{outcome.name}: {outcome.problem}", file=sys.stderr)
                found += 1
        return found

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return 1 if sum(pool.map(problems, dict.fromkeys(cpu.architecture for cpu in CPUS))) else 0


if __name__ == "__main__":
    sys.exit(main())
