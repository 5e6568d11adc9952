"""The Typer app: one function a command. What a command needs is imported when it runs."""

from typing import Annotated

import typer

from fmae_edge import __version__
from fmae_edge.cli.bench import bench
from fmae_edge.cli.codec import compress, decompress
from fmae_edge.cli.doctor import doctor
from fmae_edge.cli.evaluate import evaluate
from fmae_edge.cli.export import export, parity
from fmae_edge.cli.info import info
from fmae_edge.cli.reconstruct import reconstruct
from fmae_edge.cli.train import train

app = typer.Typer(
    help="Compress 28x28 grayscale images with a convolutional autoencoder, and make such codecs.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (compress, decompress, reconstruct, info, doctor, train, export, parity, bench, evaluate):
    app.command()(command)


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
