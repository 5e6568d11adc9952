"""The outcome of each input, and the run that yields them."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, Literal, NamedTuple, TypeVar

from fmae_edge.bulk.decoded_results import DecodedResults, UnlikeTraining
from fmae_edge.bulk.outputs import Outputs
from fmae_edge.bulk.sources import Source
from fmae_edge.runtime.arguments import as_integer
from fmae_edge.runtime.errors import ArgumentError, DiskError, FmaeError, OutputError, ResourceError

Result = TypeVar("Result")
# An input with several outcomes is counted under the first of these
_PRECEDENCE = ("failed", "done", "planned", "skipped")


class Outcome(NamedTuple):
    """The outcome of an input, or of one image in it: its output, size in bytes, and notes on conversions.

    `error` is the reason if it failed, and `cause` the exception. If the result was decoded again, `psnr` is its
    PSNR in dB, infinite if no pixel differs. If a single image became a latent file,
    `fmae_bytes` returns the size of a .fmae file of it; the call takes milliseconds.
    """

    input: str
    output: str | None
    status: Literal["done", "skipped", "failed", "planned"]
    bytes: int | None = None
    notes: Sequence[str] = ()
    error: str | None = None
    cause: Exception | None = None
    fmae_bytes: Callable[[], int] | None = None
    psnr: float | None = None


class Closing(NamedTuple):
    """What a run says at its end: a sentence for people, and facts for the summary in JSON."""

    sentence: str
    facts: dict[str, Any]


class BulkRun:
    """A run over many inputs. Iterate over it once: it does the work and yields one Outcome per input, in order.

    A second iteration raises FmaeError: the results are written.

    An input that becomes several files has one Outcome per file. Ctrl-C finishes the current files and raises
    KeyboardInterrupt; a second Ctrl-C does not wait. Any other error that ends a run early is raised after the
    outcomes so far, and is in `ended_by`: DiskError for a full disk, ResourceError for a lack of threads,
    OutputError for one file of all inputs that is not written because some of them failed.

    `counts` is the number of inputs so far by status, `converted` the number with notes, `handled` the number that
    were read; `on_progress` is called with the last of these. `passed_over` is the number of files in folders that
    do not end in `suffixes`. With `to_stdout`, results go to standard output, so print no text there. With
    `one_file`, the results of all inputs depend on each other: they become one file, or one set of packets.
    `unlike_training` describes the images that were decoded, if they are not of the kind that the bundle was
    trained on; it changes from None at most once. At the end, `closing` returns what there is to say about a set
    of packets, else None.
    """

    def __init__(
        self,
        work: Callable[[Callable[[int], None]], Iterator[Sequence[Sequence[Outcome]]]],
        sources: Sequence[Source],
        passed_over: int,
        suffixes: Sequence[str],
        outputs: Outputs,
        decoded: DecodedResults | None = None,
        closing: Callable[[], Closing | None] = lambda: None,
        joins: bool = False,
    ) -> None:
        self._started, self._decoded = False, decoded
        self._work = work  # yields the outcomes of each input in groups, given a function that counts inputs
        self.inputs, self.passed_over, self.suffixes = len(sources), passed_over, suffixes
        self.to_stdout, self.one_file = outputs.to_stdout, joins or outputs.one_file is not None
        self.closing = closing
        self.counts: Counter[str] = Counter()
        self.converted = self.handled = 0
        self.ended_by: FmaeError | None = None
        self.on_progress: Callable[[int], None] | None = None

    @property
    def unlike_training(self) -> UnlikeTraining | None:
        """Images that decode worse than nearly all training images, None if there are none or few."""
        return None if self._decoded is None else self._decoded.unlike_training

    @property
    def not_tried(self) -> int:
        """The number of inputs without an outcome."""
        return self.inputs - self.counts.total()

    def __iter__(self) -> Iterator[Outcome]:
        if self._started:
            raise FmaeError("a run can be iterated over only once; call the function again for another run")
        self._started = True
        last: Outcome | None = None
        try:
            for outcomes in chain.from_iterable(self._work(self._advance)):
                statuses = {outcome.status for outcome in outcomes}
                self.counts[next(status for status in _PRECEDENCE if status in statuses)] += 1
                self.converted += any(outcome.notes for outcome in outcomes)
                for outcome in outcomes:
                    if last is None and isinstance(outcome.cause, DiskError | ResourceError):
                        last = outcome
                    yield outcome
            if last is not None:
                raise last.cause if isinstance(last.cause, ResourceError) else DiskError(last.error)
        except FmaeError as error:
            self.ended_by = error
            raise

    def _advance(self, inputs: int) -> None:
        self.handled += inputs
        if self.on_progress is not None:
            self.on_progress(self.handled)


def as_jobs(jobs: object) -> int:
    """Return a number of threads. Raises ArgumentError if it is not an integer of 1 or more."""
    number = as_integer("jobs", jobs)
    if number < 1:
        raise ArgumentError("jobs", f"is {number}; expected 1 or more")
    return number


def settle(source: Source, step: Callable[[], Result]) -> Result | Outcome:
    """Return the result of `step`, or the outcome of its failure."""
    try:
        return step()
    except (BrokenPipeError, ResourceError):  # not this source's fault, and the others would fail as well
        raise
    except (FmaeError, MemoryError, OSError) as error:
        return failed(source, error)


def settle_all(
    step: Callable[[Source], Result], sources: Sequence[Source]
) -> list[tuple[Source, Result | Outcome]]:
    """Return the result of `step` for each of `sources`, or the outcome of its failure."""
    return [(source, settle(source, partial(step, source))) for source in sources]


def failed(source: Source, error: Exception) -> Outcome:
    """Return the outcome of a failed `source`, with the reason in a sentence."""
    if isinstance(error, OutputError):
        sentence = f"{source} -> {error}"
    elif isinstance(error, MemoryError):
        sentence = f"{source}: needs more memory than is available"
    elif isinstance(error, OSError):  # a folder that may not be searched, a name that is too long, ...
        sentence = f"{source}: {error.strerror or error}"
    else:
        sentence = str(error)
    return Outcome(str(source), None, "failed", error=sentence, cause=error)
