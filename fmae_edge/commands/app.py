"""The Typer app: one function per command. A command imports what it needs when it runs."""

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from fmae_edge import __version__
from fmae_edge.commands.bench import bench
from fmae_edge.commands.compare import compare
from fmae_edge.commands.compress import compress
from fmae_edge.commands.console import UsageError
from fmae_edge.commands.decompress import decompress
from fmae_edge.commands.doctor import doctor
from fmae_edge.commands.evaluate import evaluate
from fmae_edge.commands.export import export, parity
from fmae_edge.commands.info import info
from fmae_edge.commands.loudness import with_loudness
from fmae_edge.commands.reconstruct import reconstruct
from fmae_edge.commands.report import report
from fmae_edge.commands.train import train

_EXIT_CODE_OF_USAGE = 2


def _help_of(command: Callable[..., None]) -> str:
    """Return the docstring of a command with each example on a line of its own, which Typer leaves as it is."""
    text, _, examples = (inspect.getdoc(command) or "").partition("\nExample: ")
    return f"{text}\n\b\nExample:\n  " + examples.replace("\nExample: ", "\n  ")


class _Command(TyperCommand):
    """A command that explains how to give it a file name that starts with -."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given = args[: args.index("--")] if "--" in args else list(args)  # Typer empties `args`
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if isinstance(error, UsageError) or getattr(error, "exit_code", None) == _EXIT_CODE_OF_USAGE:
                for argument in given:
                    if _is_file_name(argument, getattr(error, "option_name", None)):
                        raise UsageError(
                            f"{argument} starts with - and is read as options; write ./{argument} for the file"
                        ) from error
            raise


def _is_file_name(argument: str, unknown_option: str | None) -> bool:
    """Whether an argument that was read as options is a file, or the unknown option with the suffix of a file."""
    if not argument.startswith("-") or argument == "-":
        return False
    is_unknown = unknown_option is not None and argument.startswith(unknown_option) and "=" not in argument
    return os.path.lexists(argument) or (is_unknown and Path(argument).suffix != "")


app = typer.Typer(
    help="Compress 28x28 grayscale images with a convolutional autoencoder, or train your own codec.\n\n"
    "\b\nExample:\n  fmae-edge compress img.png -o img.fmae\n  fmae-edge decompress img.fmae",
    epilog="Run fmae-edge COMMAND --help for the options of a command. Exit codes: 0 success, 1 something failed, "
    "2 wrong usage, 130 Ctrl-C. Environment: FMAE_EDGE_THREADS, else OMP_NUM_THREADS, sets the number of threads; "
    "NO_COLOR turns colours off.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = (
    compress,
    decompress,
    compare,
    reconstruct,
    info,
    doctor,
    train,
    export,
    parity,
    bench,
    evaluate,
    report,
)
for command in COMMANDS:
    app.command(cls=_Command, help=_help_of(command))(with_loudness(command))


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fmae-edge {__version__}")
        raise typer.Exit


@app.callback()
def _app(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    pass
