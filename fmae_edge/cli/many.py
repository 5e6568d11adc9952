"""Many files through one conversion: reading, converting and writing overlap, and each input gets its outcome."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Generic, TypeVar

from fmae_edge.cli.files import Inputs, Source
from fmae_edge.cli.options import FileOptions
from fmae_edge.cli.outcome import Outcome, Status, tally
from fmae_edge.cli.outputs import Outputs
from fmae_edge.cli.pipeline import (
    failed,
    groups_of,
    interruptible,
    needs_one_thread,
    run_ahead,
    settle,
    settle_all,
    threads,
)
from fmae_edge.runtime.errors import DiskError, FmaeError, ResourceError

FILES_AT_ONCE = 256  # converting more in one call gains little

Loaded = TypeVar("Loaded")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Product:
    """A file to be written: for which input, where to, what, and what had to be converted for it.

    If `twin` is a file with the same content, this one is needless. `hint` returns what people may want to know of
    it once it is written.
    """

    label: str
    target: Path
    content: Callable[[], bytes]
    notes: Sequence[str] = ()
    twin: Path | None = None
    hint: Callable[[], str] = str


@dataclass(frozen=True)
class Conversion(Generic[Loaded]):
    """What is done with each input.

    `load` reads one, in any of several threads, or says that there is nothing to do. `convert` makes the products
    of several, in order, in one thread; where it fails, it is tried with each alone.
    """

    load: Callable[[Source], Loaded | Outcome]
    convert: Callable[[Sequence[tuple[Source, Loaded]]], Sequence[Sequence[Product]]]


def convert_files(
    inputs: Inputs,
    conversion: Conversion[Loaded],
    outputs: Outputs,
    options: FileOptions,
    files_at_once: int = FILES_AT_ONCE,
) -> None:
    """Convert `inputs`, tell the outcome of each in their order, and exit with 1 if one failed.

    Other threads, as many as `options` say, read and write meanwhile. Ctrl-C ends it with 130 after the files in
    hand, a second one at once. A full disk ends it too.
    """
    sources, writer = inputs.sources, _Writer(outputs, options.dry_run)
    here, jobs = needs_one_thread(sources), min(options.jobs, len(sources))
    with tally(inputs, options.json, outputs.stream, way_on(options)) as outcomes:
        try:
            with threads(here, jobs) as pool, interruptible(here) as interrupted:
                groups = groups_of(sources, 1 if here else files_at_once)
                loaded = run_ahead(pool, jobs, partial(settle_all, conversion.load), groups)
                # What is not begun yet is not even read
                going = takewhile(lambda _: not (interrupted() or writer.disk_is_full.is_set()), loaded)
                converted = (_convert_all(conversion, outputs, group) for group in going)
                for group in run_ahead(pool, jobs, writer.store_all, converted):
                    outcomes.add(group)
                    outcomes.advance(len(group))
                if interrupted():
                    raise KeyboardInterrupt
        except ResourceError as error:
            outcomes.stop(str(error), error)
        except KeyboardInterrupt:
            outcomes.interrupted()
        outcomes.finish()


def way_on(options: FileOptions) -> str:
    """Return how to do what is left: old files that --force has not replaced yet are not to be skipped."""
    return "to go on, run the same command" + ("" if options.force else " with --skip-existing")


def put(outputs: Outputs, dry_run: bool, target: Path, content: bytes) -> Status:
    """Write a claimed result, or see whether that could be done."""
    if dry_run:
        outputs.rehearse(target)
        return "planned"
    return "done" if outputs.write(target, content) else "skipped"


def _convert_all(
    conversion: Conversion[Loaded], outputs: Outputs, group: Sequence[tuple[Source, Loaded | Outcome]]
) -> list[tuple[Source, Sequence[Product | Outcome]]]:
    """Return what is to be written for each source, or has become of it; all targets of a source are free."""
    todo = [(source, loaded) for source, loaded in group if not isinstance(loaded, Outcome)]
    made = iter(_each_alone_if_need_be(conversion, todo))

    def results(source: Source, loaded: Loaded | Outcome) -> Sequence[Product | Outcome]:
        result = loaded if isinstance(loaded, Outcome) else next(made)
        claimed = (
            result if isinstance(result, Outcome) else settle(source, partial(_claim, outputs, source, result))
        )
        return [claimed] if isinstance(claimed, Outcome) else claimed

    return [(source, results(source, loaded)) for source, loaded in group]


def _each_alone_if_need_be(
    conversion: Conversion[Loaded], todo: Sequence[tuple[Source, Loaded]]
) -> Sequence[Sequence[Product] | Outcome]:
    if not todo:
        return []
    try:
        return conversion.convert(todo)
    except (FmaeError, MemoryError) as error:
        if len(todo) == 1:
            return [failed(todo[0][0], error)]
        return [made for one in todo for made in _each_alone_if_need_be(conversion, [one])]


def _claim(outputs: Outputs, source: Source, products: Sequence[Product]) -> Sequence[Product | Outcome]:
    return [
        product
        if outputs.claim(product.target, str(source))
        else Outcome(product.label, str(product.target), "skipped")
        for product in products
    ]


@dataclass(frozen=True)
class _Writer:
    """Writes products until a disk is full."""

    outputs: Outputs
    dry_run: bool
    disk_is_full: threading.Event = field(default_factory=threading.Event)

    def store_all(self, group: Sequence[tuple[Source, Sequence[Product | Outcome]]]) -> list[list[Outcome]]:
        """Return what became of each input, as far as the disk has let it."""
        stored = []
        for source, products in group:
            if self.disk_is_full.is_set():
                break
            stored.append(_store(self.outputs, self.dry_run, source, products))
            if any(isinstance(outcome.cause, DiskError) for outcome in stored[-1]):
                self.disk_is_full.set()
        return stored


def _store(
    outputs: Outputs, dry_run: bool, source: Source, products: Sequence[Product | Outcome]
) -> list[Outcome]:
    stored = []
    for product in products:
        if isinstance(product, Outcome):
            stored.append(product)
            continue
        stored.append(settle(source, partial(_write, outputs, dry_run, product)))
        if stored[-1].status == "failed":  # the rest would fail alike, and one sentence is enough
            break
    return stored


def _write(outputs: Outputs, dry_run: bool, product: Product) -> Outcome:
    content, target = product.content(), str(product.target)
    if product.twin is not None and product.twin.read_bytes() == content:
        return Outcome(product.label, str(product.twin), "skipped")
    status = put(outputs, dry_run, product.target, content)
    if status == "skipped":
        return Outcome(product.label, target, status)
    return Outcome(product.label, target, status, len(content), product.notes, hint=product.hint())
