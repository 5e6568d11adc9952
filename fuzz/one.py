"""Fuzz one target in this process: `python -m fuzz.one TARGET FOLDER --inputs N --seed N`.

It needs its own process, because a crash in C ends the process and atheris has to instrument the imports.
`fuzz.watch` starts it, reads its page of memory, and kills it when its time is over.
"""

import argparse
import faulthandler
import os
import random
import signal
import sys
import traceback
from pathlib import Path

import atheris

# atheris 3.0 never frees the result of a comparison, and these modules compare arrays, not bytes of a file
_NOT_WATCHED = ["fmae_edge.runtime.entropy.range_coder", "fmae_edge.runtime.entropy.symbol_coder"]
# Pillow takes a second to instrument
_PACKAGES = ["fmae_edge", "PIL"] if {"image", "tiff", "jpeg"} & set(sys.argv[1:2]) else ["fmae_edge"]
with atheris.instrument_imports(include=_PACKAGES, exclude=_NOT_WATCHED, enable_loader_override=False):
    from fuzz.findings import known_inputs, save_finding
    from fuzz.limits import Measure, make_warnings_errors, measure, measure_twice
    from fuzz.page import Page
    from fuzz.targets import CORPUS, TARGETS, Target


def fuzz(target: Target, name: str, folder: Path, inputs: int, seed: int) -> None:
    """Run `inputs` inputs and end the process. `folder` gets the findings and the inputs that reach new code."""
    page = Page(folder / "page", target.max_bytes)
    known = known_inputs(folder)
    seeds = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
    doubtful: list[tuple[bytes, Measure]] = []

    def run(content: bytes) -> None:
        if content in known:
            return
        page.start(content)
        found, most = measure(target.run, content), page.read()
        if found.error:
            save(content, found)
        elif found.seconds > most.seconds or found.megabytes > most.megabytes or found.problem:
            doubtful.append((content, found))
        page.finish()
        if page.read().finished >= inputs:
            remeasure()
            os._exit(0)

    def remeasure() -> None:
        """Measure an input again that took more than all inputs before it.

        This happens between inputs, where libFuzzer does not see it. So the same seed gives the same run, however
        long the inputs take.
        """
        while doubtful:
            content, first = doubtful.pop()
            found = measure_twice(target.run, content, first)
            if found.seconds > page.read().seconds:
                (folder.parent / f"slowest-{name}").write_bytes(content)
            if found.problem:
                save(content, found)
            page.record(found.seconds, found.megabytes)

    def save(content: bytes, found: Measure) -> None:
        if save_finding(folder, found.problem, content, found.place):
            print(found.error or f"{found.seconds:.2f} s, {found.megabytes:.0f} MB", file=sys.stderr, flush=True)

    def mutate(content: bytes, most: int, seed: int) -> bytes:
        remeasure()
        generator = random.Random(seed)
        if len(content) > target.small_bytes:
            content = generator.choice(seeds)

        def change(part: bytes) -> bytes:
            return atheris.Mutate(part, max(len(part) + 64, 64))

        try:
            changed = target.mutate(content, change, generator)
        except Exception:  # otherwise atheris would wait forever
            traceback.print_exc()
            os._exit(1)
        return changed if len(changed) <= most else content

    make_warnings_errors()
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)  # the watcher asks for the place of a hang
    grown = folder / "corpus"
    signals = ("segv", "bus", "abrt", "ill", "fpe", "int", "term", "xfsz", "usr1", "usr2")
    options = (
        f"-max_len={target.max_bytes}",
        f"-seed={seed}",
        "-mutate_depth=2",  # a reader stops at the first of many changes
        *("-len_control=0", "-reload=0", "-timeout=1000000", "-rss_limit_mb=0", "-report_slow_units=1000000"),
        *(f"-handle_{name}=0" for name in signals),
    )
    atheris.Setup([sys.argv[0], *options, str(grown), str(CORPUS / name)], run, custom_mutator=mutate)
    atheris.Fuzz()


def main(target: Target | None = None) -> None:
    """Run the command line. Tests pass their own target."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=TARGETS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--inputs", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    fuzz(target or TARGETS[options.name], options.name, options.folder, options.inputs, options.seed)


if __name__ == "__main__":
    main()
