"""`fmae-edge compare`, and the parts that it shares with `reconstruct`."""

import sys
from collections.abc import Mapping, Sequence
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
    from fmae_edge.measure.comparison import Comparison
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
        int, options.integer_option("--effort", "0-9", 0, 9, help="How long to search for fewer bytes.")
    ] = 0,
    show: Annotated[bool, typer.Option("--show", help="Draw the images in the terminal.")] = False,
    precision: options.PrecisionOption = None,
    providers: options.Providers = None,
    fit: options.Fit = None,
    bundle: options.Bundles = None,
    recursive: options.Recursive = False,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Draw images with their reconstructions and the differences.

    Every image is compressed to a .fmae file and decompressed. The picture shows the bytes, PSNR and SSIM of each.

    Example: fmae-edge compare img.png --show
    Example: fmae-edge compare img.png --bundle default --bundle detail
    """
    from fmae_edge.bulk.image_input import open_codec
    from fmae_edge.data.image_limits import SUFFIXES
    from fmae_edge.runtime.bundle.built_in import portable
    from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE

    sources, _ = expand(images, recursive, SUFFIXES)
    target = Path("comparison.png") if output is None and not show else output
    outputs = None if target is None else claim_picture(target, force, sources)
    with console.argument_errors_as_usage():
        paths = bundle or [DEFAULT_BUNDLE]
        codecs = {str(portable(path)): open_codec(path, precision, providers) for path in paths}
    _require_same_images(codecs)
    names, originals = load_images(sources, next(iter(codecs.values())), fit)
    if names:
        from fmae_edge.measure.comparison import comparison_text, draw_comparisons
        from fmae_edge.measure.figure import to_png

        compared = [_compare(each, codec, names, originals, quality, effort) for each, codec in codecs.items()]
        if outputs is not None and target is not None:
            settings = f"quality {quality}" + (f", effort {effort}" if effort else "")
            outputs.write(target, to_png(draw_comparisons(compared, settings)))
        rows = [each for of_image in zip(*compared, strict=True) for each in of_image]
        if show:
            stream = sys.stderr if json else text_stream(target)
            for each in rows:
                title = f"{each.name}, {each.bundle}" if len(codecs) > 1 else each.name
                text = comparison_text(each, stream, console.has_colours(stream))
                print(f"{console.printable(title)}: {text}\n", file=stream)
        # For a single image, --show prints the same figures
        print_qualities(
            [each.name for each in rows],
            [each.quality for each in rows],
            target,
            json,
            text_stream(target),
            [each.file_bytes for each in rows],
            [each.bundle for each in rows],
            table=len(rows) > 1 or not show,
        )
    if len(names) < len(sources):
        raise typer.Exit(1)


def _require_same_images(codecs: "Mapping[str, Codec]") -> None:
    """Raise InputError unless the bundles take images of the same shape."""
    from fmae_edge.runtime.errors import InputError

    (first, shape), *others = ((name, codec.manifest.image_shape) for name, codec in codecs.items())
    for other, other_shape in others:
        if other_shape != shape:
            raise InputError(
                f"bundle {first} is for images of shape {shape} and bundle {other} for {other_shape}: "
                "compare them one by one"
            )


def _compare(
    bundle: str, codec: "Codec", names: Sequence[str], originals: "NDArray[np.uint8]", quality: int, effort: int
) -> "list[Comparison]":
    """Compress and decompress the images, and measure the results."""
    import numpy as np

    from fmae_edge.measure.comparison import Comparison
    from fmae_edge.measure.quality import measure_each

    contents = []
    with console.progress_bar(f"comparing, {bundle}") as on_progress:
        for content in codec.compress_iter(originals, quality, effort):
            contents.append(content)
            on_progress(len(contents), len(names))
    decoded = np.stack(list(codec.decompress_iter(contents)))
    sizes, qualities = map(len, contents), measure_each(originals, decoded)
    return list(map(partial(Comparison, bundle), names, originals, decoded, sizes, qualities))


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
    bundles: Sequence[str] | None = None,
    table: bool = True,
) -> None:
    """Print the quality of each image, as JSON or as a table.

    `sizes` are the bytes of the files and `bundles` the names of the bundles, if each image has them. The table
    shows the names only if they differ.
    """
    if json:
        for name, quality, size, bundle in zip(
            names, qualities, sizes or repeat(None), bundles or repeat(None), strict=False
        ):
            record = {
                "image": name,
                **({} if bundle is None else {"bundle": bundle}),
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
            **({"bundle": bundles} if bundles is not None and len(set(bundles)) > 1 else {}),
            **({} if sizes is None else {"bytes": list(map(str, sizes))}),
            "PSNR": [f"{quality.psnr_pooled:.2f} dB" for quality in qualities],
            "SSIM": [f"{quality.ssim:.4f}" for quality in qualities],
        }
        console.print_line(console.format_table(list(columns), list(zip(*columns.values(), strict=True))), stream)
    if target not in (None, STREAM):
        console.say(f"wrote {target}", stream)
