"""Fuzz one target in this process: `python -m fuzz.one TARGET [libFuzzer's options and files]`.

A process of its own, because a crash in C ends it, and because atheris has to see imports happen. Given files,
it runs each of them once: that is how to look at a finding.
"""

import random
import resource
import sys
import warnings
from contextlib import suppress

import atheris

# atheris 3.0 keeps the result of every comparison for good, and these modules compare arrays, not bytes of a file
_NOT_WATCHED = ["fmae_edge.runtime.range_coder", "fmae_edge.runtime.symbol_coder"]
with atheris.instrument_imports(include=["fmae_edge", "PIL"], exclude=_NOT_WATCHED, enable_loader_override=False):
    from fmae_edge import FmaeError
    from fuzz.targets import TARGETS, Target

MEMORY_MB = 1024
SECONDS_AN_INPUT = 30
_ADDRESSES_MB = 8192  # a stop for what would take the machine along


def fuzz(target: Target, arguments: list[str]) -> None:
    """Hand `target` to libFuzzer with its `arguments`; ends the process."""

    def run(content: bytes) -> None:
        with suppress(FmaeError):
            target.run(content)
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10 > MEMORY_MB:
            raise MemoryError(f"more than {MEMORY_MB} MB of memory in use")

    def mutate(content: bytes, most: int, seed: int) -> bytes:
        changed = target.mutate(content, lambda part: atheris.Mutate(part, most), random.Random(seed))
        return changed if len(changed) <= most else content

    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES_MB << 20,) * 2)
    warnings.simplefilter("error", RuntimeWarning)  # numpy's: they would be lines on stderr beside the sentence
    options = (
        f"-max_len={target.max_bytes}",
        f"-timeout={SECONDS_AN_INPUT}",
        f"-rss_limit_mb={2 * MEMORY_MB}",  # for what stays in C: libFuzzer looks once a second
        "-mutate_depth=2",  # of many changes at once, a reader stops at the first
    )
    atheris.Setup([sys.argv[0], *options, *arguments], run, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    fuzz(TARGETS[sys.argv[1]], sys.argv[2:])
