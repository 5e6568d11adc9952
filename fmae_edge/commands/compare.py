"""`fmae-edge compare`, and the parts that it shares with `reconstruct`."""

import sys
from collections.abc import Sequence
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from fmae_edge.bulk.sources import STREAM, Source, expand
from fmae_edge.commands import console, options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fmae_edge.bulk.outputs import Outputs
    from fmae_edge.measure.quality import Quality
    from fmae_edge.runtime.codec import Codec


def compare(
    images: Annotated[list[Path], options.image_argument()],
    output: Annotated[
        Path | None,
        options.file_option(
            "-o",
            "--output",
            help="PNG file to write, or - for stdout. [default: comparison.png, or no file with --show]",
        ),
    ] = None,
    quality: Annotated[
        int, options.integer_option("--quality", "1-9", 1, 9, help="1 for the fewest bytes, 9 for the best image.")
    ] = 5,
    effort: Annotated[
        int, options.integer_option("--effort", "0-9", 0, 9, help="Rounds of search for fewer bytes.")
    ] = 0,
    show: Annotated[bool, typer.Option("--show", help="Draw the images in the terminal.")] = False,
    precision: options.PrecisionOption = "int8",
    fit: options.Fit = None,
    bundle: options.BundleOption = None,
    recursive: options.Recursive = False,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Draw images with their reconstructions and the differences.

    Every image is compressed to a .fmae file and decompressed. The picture shows the bytes, PSNR and SSIM of each.

    Example: fmae-edge compare img.png --show
    """
    import numpy as np

    from fmae_edge.bulk.image_input import open_codec
    from fmae_edge.data.image_file import SUFFIXES

    sources, _ = expand(images, recursive, SUFFIXES)
    target = Path("comparison.png") if output is None and not show else output
    outputs = None if target is None else claim_picture(target, force, sources)
    codec = open_codec(bundle, precision)
    names, originals = load_images(sources, codec, fit)
    if names:
        from fmae_edge.measure.comparison import Comparison, comparison_text, draw_comparisons
        from fmae_edge.measure.figure import to_png
        from fmae_edge.measure.quality import measure_each

        contents = []
        with console.progress_bar("comparing") as on_progress:
            for content in codec.compress_iter(originals, quality, effort):
                contents.append(content)
                on_progress(len(contents), len(names))
        decoded = np.stack(list(codec.decompress_iter(contents)))
        qualities = measure_each(originals, decoded)
        sizes = [len(content) for content in contents]
        comparisons = list(map(Comparison, names, originals, decoded, sizes, qualities))
        if outputs is not None and target is not None:
            settings = f"quality {quality}" + (f", effort {effort}" if effort else "")
            outputs.write(target, to_png(draw_comparisons(comparisons, settings)))
        if show:
            stream = sys.stderr if json else text_stream(target)
            for each in comparisons:
                text = comparison_text(each, stream, console.has_colours(stream))
                print(f"{console.printable(each.name)}: {text}\n", file=stream)
        # For a single image, --show prints the same figures
        stream = text_stream(target)
        print_qualities(names, qualities, target, json, stream, sizes, table=len(names) > 1 or not show)
    if len(names) < len(sources):
        raise typer.Exit(1)


def claim_picture(path: Path, force: bool, sources: Sequence[Source] = ()) -> "Outputs":
    """Claim the file for a picture of `sources`. Raises UsageError if `path` is not a .png file or `-`.

    Raises OutputError if it exists, unless `force` is set, or cannot be written.
    """
    from fmae_edge.bulk.outputs import Outputs

    if path != STREAM and (path.suffix.lower() != ".png" or path.is_dir()):
        raise console.UsageError(f"{path}: the picture must go to a file whose name ends in .png")
    outputs = Outputs(path, ".png", sources, (".png",), join=True, force=force, patterns=False)
    outputs.claim(path)
    outputs.rehearse(path)
    return outputs


def load_images(
    sources: Sequence[Source], codec: "Codec", fit: options.Fit
) -> "tuple[list[str], NDArray[np.uint8]]":
    """Return the names of the images that can be read, and the images (N, height, width) of the codec's size.

    Prints an error for each image that cannot be read, and a line for each image that is converted.
    """
    import numpy as np

    from fmae_edge.bulk.image_input import read_image
    from fmae_edge.bulk.run import Outcome, settle

    names, images = [], []
    for source in sources:
        result = settle(source, partial(read_image, source, codec, fit))
        if isinstance(result, Outcome):
            console.say_error(str(result.error), result.cause)
            continue
        pixels, notes = result
        if notes:
            console.say(f"{source}: {'; '.join(notes)}", sys.stderr)
        names.append(str(source))
        images.append(pixels)
    return names, np.array(images)


def text_stream(target: Path | None) -> TextIO:
    """Return the stream for text: standard error if standard output is closed or gets the picture `target`."""
    return sys.stderr if target == STREAM or isinstance(sys.stdout, console.ClosedOutput) else sys.stdout


def print_qualities(
    names: Sequence[str],
    qualities: "Sequence[Quality]",
    target: Path | None,
    json: bool,
    stream: TextIO,
    sizes: Sequence[int] | None = None,
    table: bool = True,
) -> None:
    """Print the quality of each image, and its size in bytes if there are `sizes`, as JSON or as a table."""
    if json:
        for name, quality, size in zip(names, qualities, sizes or repeat(None), strict=False):
            record = {
                "image": name,
                **({} if size is None else {"bytes": size}),
                "psnr": None if quality.mse == 0 else quality.psnr_pooled,
                "ssim": quality.ssim,
                "output": None if target is None else str(target),
            }
            console.print_line(console.json_line(record), stream)
        return
    if table:
        columns = {
            "image": names,
            **({} if sizes is None else {"bytes": list(map(str, sizes))}),
            "PSNR": [f"{quality.psnr_pooled:.2f} dB" for quality in qualities],
            "SSIM": [f"{quality.ssim:.4f}" for quality in qualities],
        }
        console.print_line(console.format_table(list(columns), list(zip(*columns.values(), strict=True))), stream)
    if target not in (None, STREAM):
        console.say(f"wrote {target}", stream)
