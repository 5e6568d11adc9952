"""Add --quiet, --verbose and --debug to every command."""

import inspect
import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from fmae_edge.cli.console import say_error, set_loudness

_OPTIONS = {
    "quiet": typer.Option("-q", "--quiet", help="Print only results and errors."),
    "verbose": typer.Option("-v", "--verbose", help="Print a line for every file, however many there are."),
    "debug": typer.Option("--debug", help="Print the Python traceback of every error."),
}


def with_loudness(command: Callable[..., None]) -> Callable[..., None]:
    """Return `command` with three more options, which take effect before it runs."""

    @wraps(command)
    def loud(*args: Any, quiet: bool, verbose: bool, debug: bool, **options: Any) -> None:
        if quiet and verbose:
            raise typer.BadParameter("--quiet and --verbose are opposites; give one of them")
        set_loudness(quiet, verbose, debug)
        try:
            command(*args, **options)
        except KeyboardInterrupt:  # Typer would exit without a word
            say_error("interrupted")
            sys.exit(130)

    signature = inspect.signature(command, eval_str=True)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, option])
        for name, option in _OPTIONS.items()
    ]
    loud.__signature__ = signature.replace(  # type: ignore[attr-defined]  # which Typer reads
        parameters=[*signature.parameters.values(), *added]
    )
    return loud
