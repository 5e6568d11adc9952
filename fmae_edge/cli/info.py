"""`fmae-edge info`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmae_edge import __version__
from fmae_edge.cli.codec import BundleArgument
from fmae_edge.cli.console import json_line, printable
from fmae_edge.cli.table import format_table

if TYPE_CHECKING:
    from fmae_edge.runtime.manifest import Manifest


def info(
    bundle: BundleArgument = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the manifest as one JSON object, for programs.")
    ] = False,
) -> None:
    """Show a bundle and its measured figures.

    Checks every file of the bundle first.

    Example: fmae-edge info bundle
    """
    from fmae_edge.runtime.bundle import DEFAULT_BUNDLE, read_bundle
    from fmae_edge.runtime.errors import BundleError

    path = bundle or DEFAULT_BUNDLE
    manifest = read_bundle(path).manifest
    if json:
        from json import loads

        typer.echo(json_line(loads(manifest.to_json())))
        return
    try:
        _print(path, manifest)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise BundleError(f"{path}: the record in its manifest is incomplete ({error!r}); try --json") from None


def _print(path: Path, manifest: "Manifest") -> None:
    import platform
    from importlib.metadata import version

    record = manifest.record
    _line(f"bundle    {manifest.name} ({manifest.bundle_id}), every file matches its SHA-256")
    _line(f"in        {path}")
    height, width = manifest.image_height, manifest.image_width
    _line(f"images    {width}x{height}, {manifest.image_channels} channel(s)")
    _line(f"latents   {manifest.latent_size} values")
    recipe, metrics = record["training"]["recipe"], record["training"]["metrics"]
    rate = f", rate-distortion {recipe['rate_distortion']}" if recipe.get("rate_distortion") else ""
    _line(
        f"training  {len(metrics)} of {recipe['epochs']} epochs, batch {recipe['batch_size']}, lr {recipe['lr']}, "
        f"seed {recipe['seed']}{rate}; test MSE {metrics[-1]['test_mse']:.5f}"
    )
    parity = record["parity"]
    verdict = "every gate held" if not parity["failures"] else "; ".join(parity["failures"])
    _line(f"parity    on {parity['images']} images: {verdict}")
    _line(
        f"runtime   fmae-edge {__version__}, onnxruntime {version('onnxruntime')}, "
        f"numpy {version('numpy')}, Python {platform.python_version()}"
    )
    _line("made with " + ", ".join(f"{tool} {release}" for tool, release in record["tools"].items()))
    typer.echo("")
    typer.echo(format_table(("file", "bytes"), [(name, str(e.size)) for name, e in manifest.files.items()]))
    typer.echo("")
    rows = [
        (name, f"{q['psnr_pooled']:.3f} dB", f"{q['psnr_per_image']:.3f} dB", f"{q['ssim']:.4f}")
        for name, q in record["quality"].items()
    ]
    typer.echo(format_table(("measured on 8-bit test images", "PSNR pooled", "per image", "SSIM"), rows))
    if manifest.qualities:
        typer.echo("")
        rows = [
            (name, f"{q['bytes_per_image']:.2f}", f"{q['psnr_pooled']:.3f} dB", f"{q['ssim']:.4f}")
            for name, q in record["rate"].items()
        ]
        typer.echo(format_table(("one .fmae file of them", "bytes an image", "PSNR pooled", "SSIM"), rows))


def _line(text: str) -> None:
    """Print what may hold what anyone has written into a manifest."""
    typer.echo(printable(text))
