"""`fmae-edge info`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmae_edge import __version__
from fmae_edge.bulk.sources import as_path
from fmae_edge.commands.console import UsageError, json_line, printable
from fmae_edge.commands.options import BundleOption
from fmae_edge.commands.table import format_table

if TYPE_CHECKING:
    from fmae_edge.runtime.bundle.manifest import Manifest
    from fmae_edge.runtime.format.fmae_info import FmaeInfo

_NAMES_SHOWN = 5

Target = Annotated[
    Path | None,
    typer.Argument(
        metavar="TARGET",
        help="A .fmae file, - for standard input, or the folder of a bundle. [default: the bundle in the wheel]",
        parser=as_path,
    ),
]


def info(
    target: Target = None,
    bundle: BundleOption = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, for programs; for a bundle, its manifest.")
    ] = False,
) -> None:
    """Show what a .fmae file or a bundle holds.

    For a .fmae file: number of images, quality, names, bytes per image. No image is decoded, but the check codes
    are compared, which needs the bundle that made the file.

    For a bundle: its properties and measurements. Every file in it is checked first.

    Example: fmae-edge info img.fmae
    Example: fmae-edge info img.fmae --bundle bundle
    Example: fmae-edge info bundle
    """
    if target is not None and _is_file(target):
        _describe_file(target, bundle, json)
        return
    if target is not None and bundle is not None:
        raise UsageError(f"--bundle is for .fmae files, but {target} is not a file; give one of them")
    _describe_bundle(target or bundle, json)


def _is_file(target: Path) -> bool:
    """Whether `target` means a .fmae file and not a bundle, even if it does not exist."""
    from fmae_edge.bulk.sources import STREAM
    from fmae_edge.runtime.format.fmae_file import SUFFIX

    return not target.is_dir() and (target == STREAM or target.is_file() or target.suffix.lower() == SUFFIX)


def _describe_file(path: Path, bundle: Path | None, json: bool) -> None:
    from fmae_edge.bulk.sources import Source, named, read_compressed
    from fmae_edge.runtime.codec import Codec

    source = Source(path)
    content = read_compressed(source, "neither a .fmae file nor the folder of a bundle", latents=False)
    with named(source):
        found = Codec(bundle).inspect(content)
    if json:
        typer.echo(json_line({"file": str(source), **vars(found)}))
    else:
        _print_file(source.path, found)


def _print_file(path: Path, found: "FmaeInfo") -> None:
    total = sum(found.payload_bytes)
    _line(f"file      {path}, {found.file_bytes} bytes, version {found.format_version} of the .fmae format")
    _line(f"bundle    {found.bundle_id}, all check codes match")
    _line(f"images    {found.images}{'' if found.single else ', as a stack'}")
    _line(f"quality   {found.quality}")
    if found.images > 1:
        least, most = min(found.payload_bytes), max(found.payload_bytes)
        _line(
            f"payload   {total / found.images:.2f} bytes per image, from {least} to {most}; {total} bytes in all"
        )
    else:
        _line(f"payload   {total} bytes")
    names = ", ".join(found.names[:_NAMES_SHOWN]) if found.names else "none"
    if found.names and len(found.names) > _NAMES_SHOWN:
        names += ", ... (--json lists all)"
    _line(f"names     {found.names_error or names}")


def _describe_bundle(bundle: Path | None, json: bool) -> None:
    from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
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
    _line(f"bundle    {manifest.name} ({manifest.bundle_id}), all files match their SHA-256")
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
    verdict = "all gates passed" if not parity["failures"] else "; ".join(parity["failures"])
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
        typer.echo(format_table(("one .fmae file of them", "bytes per image", "PSNR pooled", "SSIM"), rows))


def _line(text: str) -> None:
    """Print text from a file, with control characters escaped."""
    typer.echo(printable(text))
