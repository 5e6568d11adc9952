"""Fuzz the readers of fmae-edge: `python -m fuzz --seconds 60`, or `--inputs 1000000`.

Each target runs in its own process for its share of the time or of the inputs. Findings are errors other than
FmaeError, crashes, more than a second of CPU time and more than 256 MB of memory. Their inputs are saved, and the
exit code is 1. Inputs that reach new code are kept in the same folder, and the next run starts from them.
"""

import argparse
import sys
import time
from pathlib import Path

from fuzz.limits import MAX_MEGABYTES, MAX_SECONDS
from fuzz.targets import TARGETS
from fuzz.watch import REPOSITORY, Result, fuzz_target


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz the readers of fmae-edge.")
    parser.add_argument("--seconds", type=float, help="for all targets together (default: 60 without --inputs)")
    parser.add_argument("--inputs", type=int, help="of all targets together")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the changes (default: the time)")
    parser.add_argument("--target", action="append", choices=TARGETS, help="may be repeated (default: all)")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "runs" / "fuzz", help="default: runs/fuzz")
    options = parser.parse_args(arguments)
    names = options.target or list(TARGETS)
    seconds = 60.0 if options.seconds is None and options.inputs is None else options.seconds
    parts = sum(TARGETS[name].share for name in names)
    print(f"seed {options.seed}", flush=True)
    results = {}
    begin = time.monotonic()
    for number, name in enumerate(names):
        started = time.monotonic()
        results[name] = fuzz_target(
            name,
            TARGETS[name],
            options.output.absolute() / name,
            None if seconds is None else (begin + seconds - started) / (len(names) - number),
            None if options.inputs is None else -(-options.inputs * TARGETS[name].share // parts),
            options.seed,
        )
        _report(name, results[name], time.monotonic() - started, options.output)
    total = sum(result.inputs for result in results.values())
    slowest = max(results, key=lambda name: results[name].seconds)
    hungriest = max(results, key=lambda name: results[name].megabytes)
    failed = any(result.findings or result.broken for result in results.values())
    limits = f"over {MAX_SECONDS:g} s or {MAX_MEGABYTES:g} MB"
    print(
        f"{total:,} inputs, {'FAILED' if failed else f'no error except FmaeError, no input {limits}'}; "
        f"slowest {results[slowest].seconds * 1e3:.0f} ms ({slowest}), "
        f"most memory {results[hungriest].megabytes:.0f} MB ({hungriest})"
    )
    return int(failed)


def _report(name: str, result: Result, seconds: float, output: Path) -> None:
    print(
        f"{name}: {result.inputs:,} inputs in {seconds:.0f} s ({result.inputs / seconds:,.0f}/s), "
        f"slowest {result.seconds * 1e3:.0f} ms, most memory {result.megabytes:.0f} MB",
        flush=True,
    )
    if result.broken:
        print(f"{name}: the fuzzer itself failed, see {output.absolute() / name / 'log.txt'}", flush=True)
    for path in result.findings:
        print(f"{name}: failed on {path}; run it again with `python -m fuzz.replay {name} {path}`", flush=True)


if __name__ == "__main__":
    sys.exit(main())
