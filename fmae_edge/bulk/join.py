"""Write the images of many inputs together: into one file, or into a set of packets."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fmae_edge.bulk.outputs import Outputs
from fmae_edge.bulk.pipeline import FILES_AT_ONCE
from fmae_edge.bulk.run import Outcome, failed, settle_all
from fmae_edge.bulk.sources import Source, groups_of, needs_one_thread
from fmae_edge.bulk.threads import interruptible, run_ahead, threads
from fmae_edge.runtime.errors import DiskError, FmaeError, OutputError, ResourceError

Pixels = NDArray[np.uint8]
Part = tuple[Source, Pixels]  # an input, and its images (N, height, width)


class Written(NamedTuple):
    """What became of all images together: the status of their inputs, and the output of each input.

    If the results were decoded again, `psnrs` is the PSNR of each input.
    """

    status: Literal["done", "planned", "skipped"]
    outputs: Sequence[str]
    psnrs: Sequence[float | None] = ()


class RefusedPartsError(FmaeError):
    """Inputs that cannot be written with the others: `errors` has the reason for each."""

    def __init__(self, errors: dict[Source, FmaeError]) -> None:
        super().__init__(str(next(iter(errors.values()))))
        self.errors = errors


class Destination(Protocol):
    """Where the images of all inputs go together; `path` is its name in messages."""

    path: Path

    def prepare(self) -> bool:
        """Return False if it exists and is skipped. Raises OutputError if it certainly cannot be written."""
        ...

    def write(self, parts: Sequence[Part]) -> Written:
        """Write all images. Raises RefusedPartsError if some inputs cannot be written with the others."""
        ...


class OneFile:
    """One file, `outputs.one_file`, of all images.

    `join` returns its content, and the PSNR of each input or of none.
    """

    def __init__(
        self, outputs: Outputs, join: Callable[[Sequence[Part]], tuple[bytes, Sequence[float | None]]]
    ) -> None:
        assert outputs.one_file is not None
        self.path = outputs.one_file
        self._outputs, self._join = outputs, join

    def prepare(self) -> bool:
        """Return False if the file exists and is skipped. Raises OutputError if it cannot be written."""
        claimed = self._outputs.claim(self.path)
        if claimed:
            self._outputs.rehearse(self.path)
        return claimed

    def write(self, parts: Sequence[Part]) -> Written:
        """Write the file."""
        content, psnrs = self._join(parts)
        status = self._outputs.write(self.path, content)
        rows, end = [], 0
        for _, images in parts:
            end += len(images)
            rows.append(str(end - 1) if len(images) == 1 else f"{end - len(images)}:{end}")
        labels = [str(self.path) if status == "skipped" else f"{self.path}[{row}]" for row in rows]
        return Written(status, labels, psnrs)


def join_files(
    sources: Sequence[Source],
    load: Callable[[Source], tuple[Pixels, Sequence[str]] | Outcome],
    destination: Destination,
    jobs: int,
    keep_going: bool,
    advance: Callable[[int], None],
) -> Iterator[list[list[Outcome]]]:
    """Write the images of all `sources`, or nothing if one fails, because the rows of the others would move.

    `load` reads the images (N, height, width) of a source, and notes on conversions, in any of `jobs` threads.
    With `keep_going`, sources that fail are left out. `advance` is called with the number of sources that were
    read. The outcomes are yielded at the end.

    After them, raises OutputError if nothing is written because sources failed, DiskError or ResourceError if the
    disk is full or threads are lacking. Raises KeyboardInterrupt after Ctrl-C; then nothing is written.
    """
    path = destination.path
    results: Sequence[tuple[Source, tuple[Pixels, Sequence[str]] | Outcome | None]]
    results = [(source, None) for source in sources]
    common = Outcome("", None, "skipped")  # the outcome of sources that did not fail themselves
    written = Written("skipped", ())
    ended_by: FmaeError | None = None
    try:
        if destination.prepare():  # before all are read
            results = _load_all(sources, load, jobs, advance)
            while True:
                parts = [(source, part[0]) for source, part in results if part and not isinstance(part, Outcome)]
                bad = len(results) - len(parts)
                if bad and not (keep_going and parts):
                    ended_by = OutputError(
                        f"{path}: not written, because {bad} of its {len(results)} inputs failed"
                    )
                    break
                try:
                    written = destination.write(parts)
                except RefusedPartsError as refused:
                    results = [
                        (source, failed(source, refused.errors[source]) if source in refused.errors else part)
                        for source, part in results
                    ]
                    continue
                common = common._replace(status=written.status)
                break
        else:
            common = common._replace(output=str(path))
    except (DiskError, ResourceError) as error:
        ended_by = error
    except (FmaeError, MemoryError) as error:
        common = Outcome("", None, "failed", error=str(error) or "out of memory", cause=error)
    outcomes = []
    each = zip(written.outputs, written.psnrs or [None] * len(written.outputs), strict=True)
    for source, part in results:
        outcome = common._replace(input=str(source))
        if isinstance(part, Outcome):
            outcome = part
        elif part is not None and written.outputs:
            label, psnr = next(each)
            outcome = outcome._replace(output=label)
            if written.status in ("done", "planned"):
                outcome = outcome._replace(notes=part[1], psnr=psnr)
        outcomes.append([outcome])
    yield outcomes
    if ended_by is not None:
        raise ended_by


def _load_all(
    sources: Sequence[Source],
    load: Callable[[Source], tuple[Pixels, Sequence[str]] | Outcome],
    jobs: int,
    advance: Callable[[int], None],
) -> list[tuple[Source, tuple[Pixels, Sequence[str]] | Outcome]]:
    here, jobs = needs_one_thread(sources), min(jobs, len(sources))
    loaded: list[tuple[Source, tuple[Pixels, Sequence[str]] | Outcome]] = []
    with threads(here or jobs == 1, jobs) as pool, interruptible(here) as interrupted:
        for group in run_ahead(pool, jobs, partial(settle_all, load), groups_of(sources, FILES_AT_ONCE)):
            if interrupted():
                raise KeyboardInterrupt
            loaded += group
            advance(len(group))
    return loaded
