"""The Typer options that commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from fmae_edge.commands.integers import integer

Output = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="PATH",
        help="Where to write: a file, a folder, - for stdout, or a pattern with {stem} (the name of the input), "
        "{path} (the same with its folders below the one given with -r) or {folder} (the folder of the input). "
        "[default: next to the input]",
    ),
]
Recursive = Annotated[bool, typer.Option("-r", "--recursive", help="Include the files in folders.")]
_BUNDLE = "Bundle folder. [default: the built-in bundle]"
BundleOption = Annotated[Path | None, typer.Option(metavar="FOLDER", help=_BUNDLE, readable=False)]
BundleArgument = Annotated[Path | None, typer.Argument(metavar="BUNDLE", help=_BUNDLE, readable=False)]
PrecisionOption = Annotated[Literal["int8", "fp32"], typer.Option(help="Graphs of the bundle to run.")]
Fit = Annotated[
    Literal["resize"] | None,
    typer.Option(help="Resize images that do not have the size of the bundle. [default: refuse them]"),
]
Data = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder with the Fashion-MNIST files. [default: the Debian package, or a download]",
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
        help="Threads that read and write files. More help with slow or remote disks.",
    ),
]
