"""`fmae-edge export` and `fmae-edge parity`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fmae_edge.commands.console import json_line, say
from fmae_edge.commands.integers import integer
from fmae_edge.commands.options import Data, Json

if TYPE_CHECKING:
    from fmae_edge.export.parity import Parity

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run of fmae-edge train.", readable=False)]


def export(
    run: Run,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="BUNDLE", help="Bundle folder to write.", readable=False)
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the bundle. [default: the name of RUN]")
    ] = None,
    data: Data = None,
    no_rewrite: Annotated[
        bool, typer.Option("--no-rewrite", help="Keep the layers as trained, as a reference for parity and speed.")
    ] = False,
    int8_target: Annotated[
        Literal["avx2", "vnni", "arm"],
        typer.Option(help="CPUs to quantise the int8 graphs for. avx2 is right for every x86 CPU."),
    ] = "avx2",
    calibration: Annotated[
        Literal["min-max", "percentile", "entropy"], typer.Option(help="Method that finds the int8 ranges.")
    ] = "min-max",
    calibration_images: Annotated[
        int,
        typer.Option(
            metavar="N",
            parser=integer("--calibration-images", 1, 4096),
            help="Number of training images for the calibration.",
        ),
    ] = 512,
    allow_parity_loss: Annotated[
        bool, typer.Option("--allow-parity-loss", help="Write the bundle even if a parity gate fails.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing BUNDLE.")] = False,
    json: Json = False,
) -> None:
    """Turn a trained model into a bundle of ONNX graphs.

    Makes int8 and float32 graphs and compares both with PyTorch on the whole test set. A bundle that fails a
    parity gate is not written.

    Example: fmae-edge export runs/fashion-mnist -o bundle
    """
    import torch

    from fmae_edge.commands.progress import progress_bar
    from fmae_edge.data.fashion_mnist import load_fashion_mnist
    from fmae_edge.export.build import ExportOptions
    from fmae_edge.export.bundle import export_bundle
    from fmae_edge.model.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(run)
    images = load_fashion_mnist(data)
    with progress_bar("parity") as on_progress:
        manifest, parity = export_bundle(
            run,
            checkpoint,
            torch.from_numpy(images.train),
            torch.from_numpy(images.test),
            output,
            name or run.resolve().name,
            ExportOptions(not no_rewrite, int8_target, calibration, calibration_images),
            allow_parity_loss=allow_parity_loss,
            force=force,
            on_progress=on_progress,
        )
    if json:
        record = {"output": str(output), "name": manifest.name, "bundle_id": manifest.bundle_id}
        files = {file_name: entry.size for file_name, entry in manifest.files.items()}
        typer.echo(json_line({**record, "files": files, "parity": parity.to_record()}))
        return
    _print_parity(parity)
    for file_name, entry in manifest.files.items():
        typer.echo(f"{output / file_name}  {entry.size} bytes")
    say(f"wrote bundle {manifest.name} ({manifest.bundle_id}) to {output}")


def parity(
    run: Run,
    bundle: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="Bundle folder that fmae-edge export wrote.", readable=False)
    ],
    data: Data = None,
    json: Json = False,
) -> None:
    """Compare a bundle with PyTorch on the whole test set.

    Runs every graph at several batch sizes, with the optimisations of onnxruntime on and off. Exits with 1 if a
    parity gate fails.

    Example: fmae-edge parity runs/fashion-mnist bundle
    """
    from fmae_edge.runtime.bundle.bundle import read_bundle

    read = read_bundle(bundle)  # before PyTorch is imported, which takes seconds

    import torch

    from fmae_edge.commands.progress import progress_bar
    from fmae_edge.data.fashion_mnist import load_fashion_mnist
    from fmae_edge.export.bundle import require_geometry
    from fmae_edge.export.errors import ParityError
    from fmae_edge.export.parity import measure_parity
    from fmae_edge.model.checkpoint import load_checkpoint

    model = load_checkpoint(run).model
    require_geometry(model.config, read.manifest.image_shape)
    if model.config.latent_size != read.manifest.latent_size:
        raise ParityError(
            f"the model has {model.config.latent_size} latents and the bundle {read.manifest.latent_size}: "
            f"{bundle} was not exported from {run}"
        )
    images = load_fashion_mnist(data)
    require_geometry(model.config, tuple(images.test.shape[1:]))
    with progress_bar("parity") as on_progress:
        measured = measure_parity(model, read.files, torch.from_numpy(images.test), on_progress)
    if json:
        typer.echo(json_line(measured.to_record()))
    else:
        _print_parity(measured)
    if measured.failures():
        raise ParityError("; ".join(["parity gates failed", *measured.failures()]))


def _print_parity(parity: "Parity") -> None:
    from fmae_edge.commands.table import format_table
    from fmae_edge.evaluate.equal_rows import merge_equal_rows

    rows = [
        {
            "graphs": each.precision,
            "batch": str(each.batch),
            "optimised": "yes" if each.optimised else "no",
            "latents max": f"{each.latent_max:.1e}",
            "latents mean": f"{each.latent_mean:.1e}",
            "pixels max": f"{each.pixel_max:.1e}",
            "pixels mean": f"{each.pixel_mean:.1e}",
            "PSNR": f"{each.psnr:.3f} dB",
            "vs PyTorch": f"{each.psnr_against_torch:.2f} dB",
            "lost": f"{each.loss_db:+.4f} dB",
        }
        for each in parity.comparisons
    ]
    merged = merge_equal_rows(rows, ("batch", "optimised"))
    typer.echo(format_table(list(rows[0]), [list(row.values()) for row in merged]))
    typer.echo(
        f"{parity.images} images; PyTorch {parity.torch_psnr:.3f} dB. PSNR is pooled; latent differences are "
        "shares of their range, pixels lie in [0, 1]."
    )
