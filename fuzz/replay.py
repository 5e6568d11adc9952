"""Run saved inputs once each: `python -m fuzz.replay TARGET FILE...` says what each took, and where it failed.

Without atheris, so times are those of a program. The exit code is 1 if one fails or passes a limit.
"""

import sys
from pathlib import Path

from fuzz.limits import Measure, measure
from fuzz.targets import CORPUS, TARGETS, Target


def replay(target: Target, name: str, content: bytes) -> Measure:
    """Return what an input takes once everything is loaded."""
    for path in sorted((CORPUS / name).iterdir())[:3]:
        if path.read_bytes() != content:
            measure(target.run, path.read_bytes())
    return measure(target.run, content)


def main(target: Target | None = None) -> int:
    """Run the command line and return its exit code; a test gives its own target."""
    failed = False
    name, *paths = sys.argv[1:]
    for path in paths:
        found = replay(target or TARGETS[name], name, Path(path).read_bytes())
        failed |= bool(found.problem)
        print(f"{path}: {found.seconds * 1e3:.1f} ms, {found.megabytes:.0f} MB {found.problem}\n{found.error}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
