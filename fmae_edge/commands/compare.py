"""`fmae-edge compare`."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from fmae_edge.bulk.sources import STREAM, Source, as_path, expand
from fmae_edge.commands.console import ClosedOutput, has_colours, json_line, printable, say
from fmae_edge.commands.integers import integer
from fmae_edge.commands.options import BundleOption, Fit, Force, Json, PrecisionOption, Recursive
from fmae_edge.commands.table import format_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fmae_edge.measure.comparison import Comparison
    from fmae_edge.runtime.codec import Codec

_PICTURE = Path("comparison.png")
_UNLIMITED = 10_000  # columns, if the stream is not a terminal


def compare(
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE", help="Image files, folders (with -r), or - for stdin.", parser=as_path),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            parser=as_path,
            help="PNG file to write, or - for stdout. [default: comparison.png, or no file with --show]",
        ),
    ] = None,
    quality: Annotated[
        int,
        typer.Option(
            metavar="1-9",
            parser=integer("--quality", 1, 9),
            help="1 for the fewest bytes, 9 for the best image.",
        ),
    ] = 5,
    effort: Annotated[
        int,
        typer.Option(metavar="0-9", parser=integer("--effort", 0, 9), help="Rounds of search for fewer bytes."),
    ] = 0,
    show: Annotated[bool, typer.Option("--show", help="Draw the images in the terminal.")] = False,
    precision: PrecisionOption = "int8",
    fit: Fit = None,
    bundle: BundleOption = None,
    recursive: Recursive = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Draw images beside their reconstructions and the difference.

    Every image is compressed to a .fmae file and decompressed. The picture shows the bytes, PSNR and SSIM of each.

    Example: fmae-edge compare img.png --show
    """
    from fmae_edge.bulk.gray_images import open_gray_codec
    from fmae_edge.commands.pictures import load_pictures, picture_output
    from fmae_edge.data.image_file import SUFFIXES

    sources, _ = expand(images, recursive, SUFFIXES)
    target = _PICTURE if output is None and not show else output
    outputs = None if target is None else picture_output(target, force, sources)
    codec = open_gray_codec(bundle, precision)
    loaded = load_pictures(sources, codec, fit)
    if loaded:
        comparisons = _compress_all(codec, loaded, quality, effort)
        closed = isinstance(sys.stdout, ClosedOutput)
        people = sys.stderr if target == STREAM or closed else sys.stdout
        if outputs is not None and target is not None:
            from fmae_edge.measure.comparison import draw_comparisons
            from fmae_edge.measure.figure import to_png

            said = f"quality {quality}" + (f", effort {effort}" if effort else "")
            outputs.write(target, to_png(draw_comparisons(comparisons, said)))
        if show:
            _show(comparisons, sys.stderr if json else people)
        if json:
            _print_json(comparisons, target, people)
        elif len(comparisons) > 1 or not show:  # for a single image the caption has the same figures
            _print_table(comparisons, people)
        if target not in (None, STREAM) and not json:
            say(f"wrote {target}", people)
    if len(loaded) < len(sources):
        raise typer.Exit(1)


def _compress_all(
    codec: "Codec", loaded: "Sequence[tuple[Source, NDArray[np.uint8]]]", quality: int, effort: int
) -> "list[Comparison]":
    """Compress and decompress each image as a .fmae file. Raises BundleError if the bundle has no prior."""
    import numpy as np

    from fmae_edge.commands.progress import progress_bar
    from fmae_edge.measure.comparison import Comparison
    from fmae_edge.measure.quality import measure_each

    pixels = [pixels for _, pixels in loaded]
    contents = []
    with progress_bar("comparing") as on_progress:
        for content in codec.compress_iter(pixels, quality, effort):
            contents.append(content)
            on_progress(len(contents), len(pixels))
    decoded = list(codec.decompress_iter(contents))
    qualities = measure_each(np.stack(pixels), np.stack(decoded))
    return [
        Comparison(str(source), original, reconstruction, len(content), measured)
        for (source, original), content, reconstruction, measured in zip(
            loaded, contents, decoded, qualities, strict=True
        )
    ]


def _show(comparisons: "Sequence[Comparison]", stream: TextIO) -> None:
    """Draw on a terminal, or with shaded characters if `stream` is not a terminal or has no colours."""
    from fmae_edge.measure.comparison import DIFFERENCE_FACTOR
    from fmae_edge.measure.half_blocks import choose_style, side_by_side

    style = choose_style(stream.encoding, has_colours(stream))
    width = _columns(stream)
    for each in comparisons:
        pictures = [
            ("original", each.original),
            ("reconstruction", each.reconstruction),
            (f"difference, {DIFFERENCE_FACTOR} times", each.difference),
        ]
        said = f"{each.file_bytes} bytes, PSNR {each.quality.psnr_pooled:.2f} dB, SSIM {each.quality.ssim:.4f}"
        print(f"{printable(each.name)}: {said}\n{side_by_side(pictures, style, width)}\n", file=stream)


def _columns(stream: TextIO) -> int:
    """Return the width of the terminal: COLUMNS, or the size that the terminal reports."""
    try:
        own = os.get_terminal_size(stream.fileno())
    except OSError:
        own = os.terminal_size((_UNLIMITED, 1))
    return shutil.get_terminal_size(own).columns or _UNLIMITED


def _print_json(comparisons: "Sequence[Comparison]", target: Path | None, stream: TextIO) -> None:
    for each in comparisons:
        record = {
            "image": each.name,
            "bytes": each.file_bytes,
            "psnr": None if each.quality.mse == 0 else each.quality.psnr_pooled,
            "ssim": each.quality.ssim,
            "output": None if target is None else str(target),
        }
        print(json_line(record), file=stream)


def _print_table(comparisons: "Sequence[Comparison]", stream: TextIO) -> None:
    rows = [
        (each.name, str(each.file_bytes), f"{each.quality.psnr_pooled:.2f} dB", f"{each.quality.ssim:.4f}")
        for each in comparisons
    ]
    print(format_table(("image", "bytes", "PSNR", "SSIM"), rows), file=stream)
