"""Run the most common calls without Typer: importing it takes longer than compressing an image."""

from collections.abc import Callable, Sequence
from functools import partial

from fmae_edge import __version__


def direct_call(arguments: Sequence[str]) -> Callable[[], None] | None:
    """Return the call that `arguments` ask for, or None if Typer has to parse them.

    Calls without Typer are `--version`, and `compress FILE...` and `decompress FILE...` with no option but
    `-o OUTPUT` and `--force`.
    """
    if list(arguments) == ["--version"]:
        return partial(print, f"fmae-edge {__version__}")
    if not arguments or arguments[0] not in ("compress", "decompress"):
        return None
    files: list[str] = []
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
            files.append(argument)
        else:
            return None
    if not files:
        return None
    from fmae_edge.bulk.compress import compress_files
    from fmae_edge.bulk.decompress import decompress_files
    from fmae_edge.commands.print_outcomes import convert_and_print

    convert = compress_files if arguments[0] == "compress" else decompress_files
    return partial(convert_and_print, convert, files, output or None, force=force)
