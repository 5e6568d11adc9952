"""Run the most common calls without Typer: importing it takes longer than compressing an image."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from fmae_edge import __version__
from fmae_edge.bulk.sources import as_path


def direct_call(arguments: Sequence[str]) -> Callable[[], None] | None:
    """Return the call that `arguments` ask for, or None if Typer has to parse them.

    Calls without Typer are `--version`, and `compress FILE...` and `decompress FILE...` with no option but
    `-o OUTPUT` and `--force`.
    """
    if list(arguments) == ["--version"]:
        return partial(print, f"fmae-edge {__version__}")
    if not arguments or arguments[0] not in ("compress", "decompress"):
        return None
    files: list[Path] = []
    output, force = "", False
    rest = iter(arguments[1:])
    for argument in rest:
        if argument in ("-o", "--output"):
            value = next(rest, "")
            if output or not value or value.startswith("--"):
                return None
            output = value
        elif argument == "--force":
            force = True
        elif argument and (argument == "-" or not argument.startswith("-")):
            files.append(as_path(argument))
        else:
            return None
    if not files:
        return None
    from fmae_edge.bulk.compress import compress_files
    from fmae_edge.bulk.decompress import decompress_files
    from fmae_edge.bulk.destination import Destination
    from fmae_edge.bulk.options import FileOptions

    command = compress_files if arguments[0] == "compress" else decompress_files

    def call() -> None:
        destination = Destination.parse(output) if output else None
        command(files, FileOptions(destination, force=force))

    return call
