"""Convert many files: reading, converting and writing overlap, and each input gets an outcome."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Generic, TypeVar

from fmae_edge.bulk.options import FileOptions
from fmae_edge.bulk.outcome import Outcome, Status, tally
from fmae_edge.bulk.outputs import Outputs
from fmae_edge.bulk.pipeline import (
    failed,
    groups_of,
    interruptible,
    needs_one_thread,
    run_ahead,
    settle,
    settle_all,
    threads,
)
from fmae_edge.bulk.sources import Inputs, Source
from fmae_edge.runtime.errors import DiskError, FmaeError, ResourceError

FILES_AT_ONCE = 256  # converting more in one call gains little

Loaded = TypeVar("Loaded")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Product:
    """A file to write: the label of its input, its path, its content, and notes on conversions.

    It is not written if `twin` has the same content. `hint` returns a remark for people, once it is written.
    """

    label: str
    target: Path
    content: Callable[[], bytes]
    notes: Sequence[str] = ()
    twin: Path | None = None
    hint: Callable[[], str] = str


@dataclass(frozen=True)
class Conversion(Generic[Loaded]):
    """The steps of converting an input.

    `load` reads one input in any thread, or returns an outcome if there is nothing to do. `convert` makes the
    products of several inputs, in order, in one thread; if it fails, it is tried again with each input alone.
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
    """Convert `inputs`, report the outcome of each in order, and exit with 1 if one failed.

    As many threads as `options` say read and write meanwhile. Ctrl-C finishes the current files and exits with
    130; a second one exits at once. A full disk ends the run too, and so does a lack of threads.
    """
    sources, writer = inputs.sources, _Writer(outputs, options.dry_run)
    here, jobs = needs_one_thread(sources), min(options.jobs, len(sources))
    with tally(inputs, options.json, outputs.stream, way_on(options)) as outcomes:
        try:
            with threads(here, jobs) as pool, interruptible(here) as interrupted:
                groups = groups_of(sources, 1 if here else files_at_once)
                loaded = run_ahead(pool, jobs, partial(settle_all, conversion.load), groups)
                # Inputs that are not started are not read either
                going = takewhile(lambda _: not (interrupted() or writer.disk_is_full.is_set()), loaded)
                converted = _convert_each(conversion, outputs, going)
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
    """Tell how to continue. Not with --skip-existing after --force, which would skip old files."""
    return "to go on, run the same command" + ("" if options.force else " with --skip-existing")


def put(outputs: Outputs, dry_run: bool, target: Path, content: bytes) -> Status:
    """Write a claimed result, or with `dry_run` check that it could be written."""
    if dry_run:
        outputs.rehearse(target)
        return "planned"
    return "done" if outputs.write(target, content) else "skipped"


def _convert_each(
    conversion: Conversion[Loaded], outputs: Outputs, groups: Iterable[Sequence[tuple[Source, Loaded | Outcome]]]
) -> Iterator[list[tuple[Source, Sequence[Product | Outcome]]]]:
    """Yield what `_convert_all` returns for each group, up to the first input that lacks threads."""
    for group in groups:
        try:
            yield _convert_all(conversion, outputs, group)
        except ResourceError as error:
            source = next(source for source, loaded in group if not isinstance(loaded, Outcome))
            yield [(source, [failed(source, error)])]
            return


def _convert_all(
    conversion: Conversion[Loaded], outputs: Outputs, group: Sequence[tuple[Source, Loaded | Outcome]]
) -> list[tuple[Source, Sequence[Product | Outcome]]]:
    """Return the products or outcomes of each source, once all targets of the source are claimed."""
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
    except ResourceError:
        raise
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
    """Write products until the disk is full."""

    outputs: Outputs
    dry_run: bool
    disk_is_full: threading.Event = field(default_factory=threading.Event)

    def store_all(self, group: Sequence[tuple[Source, Sequence[Product | Outcome]]]) -> list[list[Outcome]]:
        """Return the outcomes of the inputs that were written before the disk was full."""
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
        if stored[-1].status == "failed":  # the rest would fail in the same way
            if isinstance(stored[-1].cause, DiskError) and len(products) > 1:
                left = f"{len(products) - len(stored) + 1} of its {len(products)} images not written"
                stored[-1] = replace(stored[-1], error=f"{stored[-1].error}; {left}")
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
