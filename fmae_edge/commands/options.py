"""The options that commands share, and the options and help that every command gets."""

import inspect
import os
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from fmae_edge.bulk.sources import as_path
from fmae_edge.commands.console import UsageError, set_verbosity
from fmae_edge.runtime.errors import shown

_INTEGER = re.compile(r"([+-]?)0*([0-9]+)")
_DECIBELS = re.compile(r"\+?([0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20}|inf)")
_DIGITS = 20  # one more than those of _LARGEST: Python refuses to read thousands of digits
_LARGEST = 2**63 - 1
_LONGEST_SHOWN = 40  # characters
_EXIT_CODE_OF_USAGE = 2


def integer(option: str, least: int, most: int = _LARGEST) -> Callable[[str | int], int]:
    """Return a parser of integers from `least` to `most`, which raises UsageError with the name of the option."""

    def parse(value: str | int) -> int:
        text = str(value)
        digits = _INTEGER.fullmatch(text)
        number = None if digits is None else int(digits[1] + digits[2][:_DIGITS])
        if number is None or not least <= number <= most:
            too_large = number is not None and number > most
            bounds = f"from {least} to {most}" if too_large or most < _LARGEST else f"of at least {least}"
            raise UsageError(f"{option} is {shown(text, _LONGEST_SHOWN)}; expected an integer {bounds}")
        return number

    return parse


def integer_option(
    name: str, metavar: str, least: int, most: int = _LARGEST, *, help: str, panel: str | None = None
) -> Any:
    """Return the Typer declaration of an option that takes an integer from `least` to `most`."""
    parser = integer(name, least, most)
    return typer.Option(name, metavar=metavar, parser=parser, help=help, rich_help_panel=panel)


def decibel_option(name: str, *, help: str) -> Any:
    """Return the Typer declaration of an option that takes a number of dB above 0, or inf."""

    def parse(value: str | float) -> float:
        text = str(value)
        number = float(text) if _DECIBELS.fullmatch(text) else 0.0
        if number <= 0:
            raise UsageError(f"{name} is {shown(text, _LONGEST_SHOWN)}; expected a number of dB above 0, or inf")
        return number

    return typer.Option(name, metavar="DB", parser=parse, help=help)


def file_option(*names: str, help: str) -> Any:
    """Return the Typer declaration of an option that takes the path of one file, or -."""
    return typer.Option(*names, metavar="PATH", parser=as_path, help=help)


def image_argument(default: str = "") -> Any:
    """Return the Typer declaration of the images that a command reads."""
    text = f"Image files, folders (with -r), or - for stdin.{default}"
    return typer.Argument(metavar="IMAGE", help=text, parser=as_path)


def as_bundle(text: str | Path) -> Path:
    """Return the folder of a bundle, which `text` is or names. Raises BundleError as `find_bundle` does."""
    from fmae_edge.runtime.bundle.built_in import find_bundle

    return text if isinstance(text, Path) else find_bundle(text)


Output = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="PATH",
        help="Where to write: a file, a folder, - for stdout, or a pattern with {stem} (the name of the input), "
        "{path} (the same with the subfolders that -r searches) or {folder} (the folder of the input). "
        "[default: next to the input]",
    ),
]
Recursive = Annotated[bool, typer.Option("-r", "--recursive", help="Include the files in folders.")]
_BUNDLE = "Folder of a bundle, or the name of a built-in one: default or detail."
_BUILT_IN = f"{_BUNDLE} [default: default]"
BundleOption = Annotated[Path | None, typer.Option(metavar="BUNDLE", help=_BUILT_IN, parser=as_bundle)]
BundleArgument = Annotated[Path | None, typer.Argument(metavar="BUNDLE", help=_BUILT_IN, parser=as_bundle)]
Bundles = Annotated[
    list[Path] | None,
    typer.Option(
        "--bundle",
        metavar="BUNDLE",
        help=f"{_BUNDLE} May be repeated: each bundle gets rows of its own. [default: default]",
        parser=as_bundle,
    ),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run of fmae-edge train.", readable=False)]
PrecisionOption = Annotated[
    Literal["int8", "fp32"] | None,
    typer.Option(help="Graphs of the bundle to run. [default: int8, or fp32 with --provider]"),
]
Providers = Annotated[
    list[str] | None,
    typer.Option(
        "--provider",
        metavar="NAME",
        help="Execution provider of onnxruntime to run the float32 graphs on, such as openvino or cuda. May be "
        "repeated, in order of preference. [default: cpu]",
    ),
]
Fit = Annotated[
    Literal["resize", "crop", "pad"] | None,
    typer.Option(
        help="Change images that do not have the size of the bundle: stretch them, scale them to cover it and cut "
        "out the centre, or scale them to fit inside and add black. [default: refuse them]"
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder with the Fashion-MNIST files. [default: the Debian package, or a download]",
        readable=False,
    ),
]
RunData = Annotated[
    list[Path] | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help="Images of the run: the inputs of fmae-edge train, or a folder with the files of its data set. May "
        "be repeated. [default: those that training read, from the cache]",
        readable=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing outputs.")]
KeepGoing = Annotated[
    bool, typer.Option("--keep-going", help="One file of several inputs: write it without the inputs that fail.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs, one object per line.")]
SkipExisting = Annotated[bool, typer.Option("--skip-existing", help="Skip inputs whose output exists.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Read and convert the inputs and list the outputs, but write nothing.")
]
Jobs = Annotated[
    int,
    typer.Option(
        "-j",
        "--jobs",
        metavar="N",
        parser=integer("--jobs", 1, 1024),
        help="Threads that read and write files. More threads help with slow or remote disks.",
    ),
]

_VERBOSITY = {
    "quiet": typer.Option("-q", "--quiet", help="Print only results and errors."),
    "verbose": typer.Option("-v", "--verbose", help="Print a line for every file, even if there are many."),
    "debug": typer.Option("--debug", help="Print the Python traceback of every error."),
}


def add_command(app: typer.Typer, command: Callable[..., None]) -> None:
    """Add `command` to `app`, with --quiet, --verbose and --debug. Its docstring is the help."""
    text, _, examples = (inspect.getdoc(command) or "").partition("\nExample: ")
    # After \b, Typer leaves line breaks as they are
    help_text = f"{text}\n\b\nExample:\n  " + examples.replace("\nExample: ", "\n  ")
    app.command(cls=_Command, help=help_text)(_with_verbosity(command))


def _with_verbosity(command: Callable[..., None]) -> Callable[..., None]:
    """Return `command` with the three options, which take effect before it runs."""

    @wraps(command)
    def run(*args: Any, quiet: bool, verbose: bool, debug: bool, **options: Any) -> None:
        if quiet and verbose:
            raise UsageError("--quiet and --verbose contradict each other; use only one of them")
        set_verbosity(quiet, verbose, debug)
        command(*args, **options)

    signature = inspect.signature(command, eval_str=True)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, option])
        for name, option in _VERBOSITY.items()
    ]
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]  # Typer reads it
        parameters=[*signature.parameters.values(), *added]
    )
    return run


class _Command(TyperCommand):
    """A command with groups of options in its help.

    Its errors explain how to write a file name that starts with -.
    """

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then the options of each group (rich_help_panel) below its name."""
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            if (row := parameter.get_help_record(ctx)) is not None:
                usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
                groups.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append(row)
        for name, rows in groups.items():
            if rows:
                with formatter.section(name):
                    formatter.write_dl(rows)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        before_dashes = args[: args.index("--")] if "--" in args else list(args)  # a copy: Typer empties `args`
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if isinstance(error, UsageError) or getattr(error, "exit_code", None) == _EXIT_CODE_OF_USAGE:
                for argument in before_dashes:
                    if _is_file_name(argument, getattr(error, "option_name", None)):
                        raise UsageError(
                            f"{argument} starts with - and is read as options; write ./{argument} for the file"
                        ) from error
            raise


def _is_file_name(argument: str, unknown_option: str | None) -> bool:
    """Return whether an argument that was read as options is a file, or an unknown option with a file's suffix."""
    if not argument.startswith("-") or argument == "-":
        return False
    is_unknown = unknown_option is not None and argument.startswith(unknown_option) and "=" not in argument
    return os.path.lexists(argument) or (is_unknown and Path(argument).suffix != "")
