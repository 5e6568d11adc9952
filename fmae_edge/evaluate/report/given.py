"""Read figures that an earlier command wrote. Raises InputError unless they are complete and of this bundle."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

from fmae_edge.evaluate.bench import Bench
from fmae_edge.evaluate.evaluation import PACKINGS, Evaluation
from fmae_edge.evaluate.plots import MAX_CURVES
from fmae_edge.runtime.errors import InputError

_Figures = TypeVar("_Figures", Evaluation, Bench)


def read_evaluation(content: bytes, where: str, bundle_id: str) -> Evaluation:
    """Return the evaluation of this bundle by `fmae-edge evaluate`; `where` names the file in messages."""

    def build(record: Any) -> Evaluation:
        evaluation = Evaluation.from_record(record)
        drawn = [
            name for name in evaluation.codecs() if any(evaluation.curve(name, each).points for each in PACKINGS)
        ]
        if not 1 <= len(drawn) <= MAX_CURVES:
            raise ValueError(f"it has {len(drawn)} lossy codecs; a page has room for 1 to {MAX_CURVES}")
        return evaluation

    return _read(content, where, bundle_id, build, "evaluation.json of `fmae-edge evaluate`")


def read_bench(content: bytes, where: str, bundle_id: str) -> Bench:
    """Return the benchmark of this bundle by `fmae-edge bench --json`; `where` names the file in messages."""

    def build(record: Any) -> Bench:
        bench = Bench.from_record(record)
        bench.summary()  # raises if a case is missing
        return bench

    return _read(content, where, bundle_id, build, "output of `fmae-edge bench --json`")


def _read(content: bytes, where: str, bundle_id: str, build: Callable[[Any], _Figures], what: str) -> _Figures:
    try:
        figures = build(json.loads(content))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise InputError(f"{where}: is not valid JSON; expected the {what}") from None
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        reason = f" ({error})" if type(error) is ValueError else ""  # the other errors speak of Python
        raise InputError(f"{where}: is not the {what}, or is incomplete{reason}; run that command again") from None
    if figures.bundle_id != bundle_id:
        raise InputError(
            f"{where}: was measured with bundle {figures.bundle_id}, but this is {bundle_id}; "
            "measure this bundle, or leave the option out"
        )
    return figures
