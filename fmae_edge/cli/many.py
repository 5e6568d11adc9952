"""Many files through one conversion: reading, converting and writing overlap, and each input gets its outcome."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, takewhile
from pathlib import Path
from typing import Generic, TypeVar

from fmae_edge.cli.files import Source
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
    threads,
)
from fmae_edge.runtime.errors import FmaeError, OutputError

FILES_AT_ONCE = 256  # converting more in one call gains little

Loaded = TypeVar("Loaded")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Product:
    """A file to be written: for which input, where to, what, and what had to be converted for it.

    If `twin` is a file with the same content, this one is needless.
    """

    label: str
    target: Path
    content: Callable[[], bytes]
    notes: Sequence[str] = ()
    twin: Path | None = None


@dataclass(frozen=True)
class Part(Generic[Loaded]):
    """What an input gives to a file of all, how many rows that makes, and what had to be converted for it."""

    loaded: Loaded
    notes: Sequence[str] = ()
    rows: int = 1


@dataclass(frozen=True)
class Conversion(Generic[Loaded]):
    """What is done with each input.

    `load` reads one, in any of several threads, or says that there is nothing to do. `convert` makes the products
    of several, in order, in one thread; where it fails, it is tried with each alone.
    """

    load: Callable[[Source], Loaded | Outcome]
    convert: Callable[[Sequence[tuple[Source, Loaded]]], Sequence[Sequence[Product]]]


def convert_files(
    sources: Sequence[Source],
    conversion: Conversion[Loaded],
    outputs: Outputs,
    options: FileOptions,
    files_at_once: int = FILES_AT_ONCE,
) -> None:
    """Convert `sources`, tell the outcome of each in their order, and exit with 1 if one failed.

    Other threads, as many as `options` say, read and write meanwhile. Ctrl-C ends it with 130 after the files in
    hand, a second one at once.
    """
    here, jobs, dry_run = needs_one_thread(sources), options.jobs, options.dry_run
    with tally(len(sources), options.json) as outcomes:
        try:
            with threads(here, jobs) as pool, interruptible(here) as interrupted:
                groups = groups_of(sources, 1 if here else files_at_once)
                loaded = run_ahead(pool, jobs, partial(_settle_all, conversion.load), groups)
                going = takewhile(lambda _: not interrupted(), loaded)  # what is not begun yet is not even read
                converted = (_convert_all(conversion, outputs, group) for group in going)
                for group in run_ahead(pool, jobs, partial(_store_all, outputs, dry_run), converted):
                    outcomes.add(group)
                    outcomes.advance(len(group))
                if interrupted():
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            outcomes.interrupted("to go on, run the same command with --skip-existing")
        outcomes.finish()


def join_files(
    sources: Sequence[Source],
    load: Callable[[Source], Part[Loaded]],
    make: Callable[[list[Loaded]], bytes],
    target: Path,
    outputs: Outputs,
    options: FileOptions,
) -> None:
    """Write one file of all `sources`, or none if one fails: the rows of the others would move.

    `load` returns what `make` takes of an input.
    """
    here, jobs, dry_run = needs_one_thread(sources), options.jobs, options.dry_run
    with tally(len(sources), options.json) as outcomes:
        loaded: list[tuple[Source, Part[Loaded]]] | None = None  # until reading begins
        skipped = [[Outcome(str(each), str(target), "skipped")] for each in sources]
        try:
            if not outputs.claim(target):
                outcomes.add(skipped)
                outcomes.finish()
                return
            outputs.rehearse(target)  # before all are read
            loaded = []
            with threads(here, jobs) as readers, interruptible(here) as interrupted:
                load_all = partial(_settle_all, load)
                for group in run_ahead(readers, jobs, load_all, groups_of(sources, FILES_AT_ONCE)):
                    if interrupted():
                        raise KeyboardInterrupt
                    outcomes.add([[found] for _, found in group if isinstance(found, Outcome)])
                    outcomes.advance(len(group))
                    loaded += [(source, found) for source, found in group if not isinstance(found, Outcome)]
            if len(loaded) < len(sources):
                raise OutputError(f"{target}: not written, for it would not hold all of its {len(sources)} inputs")
            status = _put(outputs, dry_run, target, make([part.loaded for _, part in loaded]))
            ends = accumulate(part.rows for _, part in loaded)
            told = [
                [Outcome(str(source), f"{target}[{_rows(part.rows, end)}]", status, notes=part.notes)]
                for (source, part), end in zip(loaded, ends, strict=True)
            ]
            outcomes.add(skipped if status == "skipped" else told)
        except (FmaeError, MemoryError) as error:
            rest = sources if loaded is None else [source for source, _ in loaded]
            outcomes.fail(str(error) or "out of memory", error, rest)
        except KeyboardInterrupt:
            outcomes.interrupted("nothing was written")
        outcomes.finish()


def _rows(count: int, end: int) -> str:
    """Return the index of one row before `end`, or the slice of several."""
    return str(end - 1) if count == 1 else f"{end - count}:{end}"


def _put(outputs: Outputs, dry_run: bool, target: Path, content: bytes) -> Status:
    """Write a claimed result, or see whether that could be done."""
    if dry_run:
        outputs.rehearse(target)
        return "planned"
    return "done" if outputs.write(target, content) else "skipped"


def _settle_all(
    load: Callable[[Source], Result], group: Sequence[Source]
) -> list[tuple[Source, Result | Outcome]]:
    return [(source, settle(source, partial(load, source))) for source in group]


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


def _store_all(
    outputs: Outputs, dry_run: bool, group: Sequence[tuple[Source, Sequence[Product | Outcome]]]
) -> list[list[Outcome]]:
    return [_store(outputs, dry_run, source, products) for source, products in group]


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
    status = _put(outputs, dry_run, product.target, content)
    if status == "skipped":
        return Outcome(product.label, target, status)
    return Outcome(product.label, target, status, len(content), product.notes)
