"""Run saved inputs twice: `python -m fuzz.replay TARGET FILE...` prints their time, memory and errors.

It runs without atheris, which would slow it down. The smaller values of the two runs count. The exit code is 1 if
an input fails or exceeds a limit.
"""

import sys
from pathlib import Path

from fuzz.limits import make_warnings_errors, measure_twice
from fuzz.targets import TARGETS


def main() -> int:
    """Run the command line and return its exit code."""
    make_warnings_errors()
    failed = False
    name, *paths = sys.argv[1:]
    for path in paths:
        found = measure_twice(TARGETS[name].run, Path(path).read_bytes())
        failed |= bool(found.problem)
        print(f"{path}: {found.seconds * 1e3:.1f} ms, {found.megabytes:.0f} MB {found.problem}")
        print(found.error, end="")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
