"""Add --quiet, --verbose and --debug to every command."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from fmae_edge.commands.console import UsageError, set_loudness

_OPTIONS = {
    "quiet": typer.Option("-q", "--quiet", help="Print only results and errors."),
    "verbose": typer.Option("-v", "--verbose", help="Print a line for every file, however many there are."),
    "debug": typer.Option("--debug", help="Print the Python traceback of every error."),
}


def with_loudness(command: Callable[..., None]) -> Callable[..., None]:
    """Return `command` with these three options, which take effect before it runs."""

    @wraps(command)
    def loud(*args: Any, quiet: bool, verbose: bool, debug: bool, **options: Any) -> None:
        if quiet and verbose:
            raise UsageError("--quiet and --verbose contradict each other; give only one of them")
        set_loudness(quiet, verbose, debug)
        command(*args, **options)

    signature = inspect.signature(command, eval_str=True)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, option])
        for name, option in _OPTIONS.items()
    ]
    loud.__signature__ = signature.replace(  # type: ignore[attr-defined]  # which Typer reads
        parameters=[*signature.parameters.values(), *added]
    )
    return loud
