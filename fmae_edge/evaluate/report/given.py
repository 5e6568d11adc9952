"""Figures that an earlier command wrote: of this bundle, and whole, or InputError."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

from fmae_edge.evaluate.bench import Bench
from fmae_edge.evaluate.evaluation import PACKINGS, Evaluation
from fmae_edge.evaluate.rate_plot import MAX_CURVES
from fmae_edge.runtime.errors import InputError

_Figures = TypeVar("_Figures", Evaluation, Bench)


def read_evaluation(content: bytes, where: str, bundle_id: str) -> Evaluation:
    """Return what `fmae-edge evaluate` wrote of this bundle; `where` names the file in messages."""

    def build(record: Any) -> Evaluation:
        evaluation = Evaluation.from_record(record)
        drawn = [
            name for name in evaluation.codecs() if any(evaluation.curve(name, each).points for each in PACKINGS)
        ]
        if not 1 <= len(drawn) <= MAX_CURVES:
            raise ValueError(f"{len(drawn)} lossy codecs, and a page has room for 1 to {MAX_CURVES}")
        return evaluation

    return _read(content, where, bundle_id, build, "evaluation.json of `fmae-edge evaluate`")


def read_bench(content: bytes, where: str, bundle_id: str) -> Bench:
    """Return what `fmae-edge bench --json` printed of this bundle; `where` names the file in messages."""

    def build(record: Any) -> Bench:
        bench = Bench.from_record(record)
        bench.summary()  # which needs every case
        return bench

    return _read(content, where, bundle_id, build, "output of `fmae-edge bench --json`")


def _read(content: bytes, where: str, bundle_id: str, build: Callable[[Any], _Figures], what: str) -> _Figures:
    try:
        figures = build(json.loads(content))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise InputError(f"{where}: is no JSON, and is to be {what}") from None
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        reason = f" ({error})" if type(error) is ValueError else ""  # the others' are about Python
        raise InputError(f"{where}: is no {what}, or is not whole{reason}; run that again") from None
    if figures.bundle_id != bundle_id:
        raise InputError(
            f"{where}: is of bundle {figures.bundle_id}, and this is {bundle_id}; measure this one, "
            "or leave the option out"
        )
    return figures
