"""Fuzz the readers of fmae-edge: `python -m fuzz --seconds 60`.

Each target gets its share of the time in a process of its own. What it raises besides FmaeError, a crash, more
than a gigabyte and more than half a minute are findings: the input is saved, and the exit code is 1. Inputs
that reach new code are kept in the same folder, and the next run goes on from them.
"""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
CORPUS = Path(__file__).parent / "corpus"
COMMAND = (sys.executable, "-m", "fuzz.one")
_FINDINGS = ("crash-*", "timeout-*", "oom-*")
_START_SECONDS = 120  # for imports and the seeds
_RUNS_A_PROCESS = 250_000  # atheris 3.0 leaks what comparisons of arrays give, so processes have to end


@dataclass(frozen=True)
class Outcome:
    """What came of one process: how many inputs ran in how many seconds, and the files of those that failed."""

    inputs: int
    seconds: int
    findings: list[Path]
    failed: bool


def fuzz_target(name: str, seconds: int, runs: int | None, folder: Path) -> Iterator[Outcome]:
    """Run one target for so many seconds and inputs at most; `folder` gets findings, new inputs and a log."""
    while seconds > 0 and (runs is None or runs > 0):
        outcome = _run_process(name, seconds, min(runs or _RUNS_A_PROCESS, _RUNS_A_PROCESS), folder)
        yield outcome
        if outcome.failed:
            return
        seconds -= max(1, outcome.seconds)
        runs = None if runs is None else runs - outcome.inputs


def _run_process(name: str, seconds: int, runs: int, folder: Path) -> Outcome:
    grown = folder / "corpus"
    grown.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    before = _findings(folder)
    limits = (f"-max_total_time={seconds}", f"-runs={runs}")
    outputs = (f"-artifact_prefix={folder}/", "-print_final_stats=1")
    with log.open("w") as output:
        process = subprocess.Popen(
            [*COMMAND, name, *limits, *outputs, str(grown), str(CORPUS / name)],
            cwd=REPOSITORY,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            failed = process.wait(seconds + _START_SECONDS) != 0
        except BaseException as error:
            process.kill()
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            failed = True
    said = log.read_text(errors="replace")
    done = re.search(r"^Done (\d+) runs in (\d+) second", said, re.M)
    if done and not failed:
        return Outcome(int(done[1]), int(done[2]), [], failed=False)
    counts = re.findall(r"^(?:stat::number_of_executed_units: |#)(\d+)", said, re.M)
    return Outcome(int(counts[-1]) if counts else 0, seconds, sorted(_findings(folder) - before), failed=True)


def _findings(folder: Path) -> set[Path]:
    return {path for pattern in _FINDINGS for path in folder.glob(pattern)}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    names = sorted(path.name for path in CORPUS.iterdir())
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz the readers of fmae-edge.")
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together (default: 60)")
    parser.add_argument("--runs", type=int, help="inputs a target at most (default: no limit)")
    parser.add_argument("--target", action="append", choices=names, help="may be repeated (default: all)")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "runs" / "fuzz", help="default: runs/fuzz")
    options = parser.parse_args(arguments)
    targets = options.target or names
    total, failed = 0, False
    for name in targets:
        folder = options.output.absolute() / name
        begin = time.monotonic()
        seconds = max(1, options.seconds // len(targets))
        outcomes = list(fuzz_target(name, seconds, options.runs, folder))
        inputs = sum(outcome.inputs for outcome in outcomes)
        print(f"{name}: {inputs:,} inputs in {time.monotonic() - begin:.0f} s", flush=True)
        total += inputs
        if outcomes[-1].failed:
            failed = True
            print(f"{name}: failed, see {folder / 'log.txt'}", flush=True)
            for path in outcomes[-1].findings:
                print(f"{name}: failed on {path}; `python -m fuzz.one {name} {path}` runs it again", flush=True)
    print(f"{total:,} inputs, {'FAILED' if failed else 'nothing but FmaeError'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
