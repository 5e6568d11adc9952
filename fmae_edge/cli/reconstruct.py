"""`fmae-edge reconstruct`."""

import io
import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fmae_edge.cli.codec import BundleOption, Fit, Force, Json, PrecisionOption, Recursive
from fmae_edge.cli.files import STREAM, Source, expand, read
from fmae_edge.cli.outputs import Outputs
from fmae_edge.cli.table import format_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TEST_IMAGES = 5


def reconstruct(
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[IMAGE...]", help="Image files. [default: the first five test images]", readable=False
        ),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="PNG file to write.", readable=False)] = Path(
        "reconstructions.png"
    ),
    precision: PrecisionOption = "int8",
    fit: Fit = None,
    data: Annotated[Path | None, typer.Option(help="Folder with the Fashion-MNIST files.", readable=False)] = None,
    bundle: BundleOption = None,
    recursive: Recursive = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Draw originals over their reconstructions, with PSNR and SSIM under each."""
    import numpy as np

    from fmae_edge.cli.options import gray_image_size
    from fmae_edge.evaluate.figure import draw_reconstructions
    from fmae_edge.evaluate.quality import measure_quality
    from fmae_edge.runtime.codec import Codec

    sources = expand(images or [], recursive, _image_suffixes())
    outputs = Outputs(output, ".png", force, sources, joined=True)
    outputs.claim(output)
    codec = Codec(bundle, precision=precision)
    if sources:
        originals = _load(sources, gray_image_size(codec.manifest), fit)
        names = [source.path.name for source in sources]
    else:
        originals = _first_test_images(data)
        names = [f"test image {index}" for index in range(len(originals))]
    decoded = codec.decode(codec.encode(originals))
    qualities = [
        measure_quality(before[None] / np.float32(255), after[None] / np.float32(255))
        for before, after in zip(originals, decoded, strict=True)
    ]
    stream = io.BytesIO()
    draw_reconstructions(originals, decoded, qualities).save(stream, "PNG", optimize=True)
    outputs.write(output, stream.getvalue())
    if json:
        for name, quality in zip(names, qualities, strict=True):
            finite = None if quality.mse == 0 else quality.psnr_pooled
            line = json_format.dumps({"image": name, "psnr": finite, "ssim": quality.ssim})
            typer.echo(line, err=output == STREAM)
    else:
        rows = [
            (name, f"{quality.psnr_pooled:.2f} dB", f"{quality.ssim:.4f}")
            for name, quality in zip(names, qualities, strict=True)
        ]
        typer.echo(format_table(("image", "PSNR", "SSIM"), rows), err=output == STREAM)
        typer.echo(f"wrote {output}", err=output == STREAM)


def _image_suffixes() -> tuple[str, ...]:
    from fmae_edge.cli.image_file import SUFFIXES

    return SUFFIXES


def _load(sources: list[Source], size: tuple[int, int], fit: Any) -> "NDArray[np.uint8]":
    import numpy as np

    from fmae_edge.cli.image_file import load_gray

    loaded = []
    for source in sources:
        pixels, notes = load_gray(read(source.path), str(source), size, fit)
        if notes:
            typer.echo(f"{source}: {'; '.join(notes)}", err=True)
        loaded.append(pixels)
    return np.stack(loaded)


def _first_test_images(data: Path | None) -> "NDArray[np.uint8]":
    from fmae_edge.train.data import load_fashion_mnist

    images: NDArray[np.uint8] = load_fashion_mnist(data).test[:_TEST_IMAGES].numpy()
    return images
