"""The Typer app: one function a command. What a command needs is imported when it runs."""

import inspect
from collections.abc import Callable
from typing import Annotated

import typer

from fmae_edge import __version__
from fmae_edge.cli.bench import bench
from fmae_edge.cli.codec import compress, decompress
from fmae_edge.cli.compare import compare
from fmae_edge.cli.doctor import doctor
from fmae_edge.cli.evaluate import evaluate
from fmae_edge.cli.export import export, parity
from fmae_edge.cli.info import info
from fmae_edge.cli.loudness import with_loudness
from fmae_edge.cli.reconstruct import reconstruct
from fmae_edge.cli.report import report
from fmae_edge.cli.train import train


def _help_of(command: Callable[..., None]) -> str:
    """Return the docstring of a command with its examples on lines of their own, which Typer is not to break."""
    text, _, examples = (inspect.getdoc(command) or "").partition("\nExample: ")
    return f"{text}\n\b\nExample:\n  " + examples.replace("\nExample: ", "\n  ")


app = typer.Typer(
    help="Compress 28x28 grayscale images with a convolutional autoencoder, and make such codecs.\n\n"
    "\b\nExample:\n  fmae-edge compress img.png -o img.fmae\n  fmae-edge decompress img.fmae",
    epilog="fmae-edge COMMAND --help says more of a command. Exit codes: 0 all done, 1 something failed, 2 wrong "
    "usage, 130 Ctrl-C. FMAE_EDGE_THREADS, else OMP_NUM_THREADS, says how many threads graphs use. "
    "https://no-color.org is respected.",
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
    app.command(help=_help_of(command))(with_loudness(command))


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
