"""`fmae-edge parity`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmae_edge.commands.console import format_table, json_line, print_line, progress_bar
from fmae_edge.commands.options import Json, Run, RunData, as_bundle

if TYPE_CHECKING:
    from fmae_edge.export.parity import Parity


def parity(
    run: Run,
    bundle: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="Bundle that fmae-edge export made of RUN.", parser=as_bundle)
    ],
    data: RunData = None,
    json: Json = False,
) -> None:
    """Compare a bundle with PyTorch on the test images.

    These are the images that were held out from the training, at most 10,000. Runs every graph at several batch
    sizes, with the optimisations of onnxruntime on and off. Exits with 1 if a parity gate fails.

    Example: fmae-edge parity runs/fashion-mnist bundle
    """
    from fmae_edge.runtime.bundle.bundle import read_bundle

    read = read_bundle(bundle)  # before PyTorch is imported, which takes seconds

    import torch

    from fmae_edge.data.image_data import find_image_data
    from fmae_edge.export.bundle_writer import require_geometry
    from fmae_edge.export.errors import ParityError
    from fmae_edge.export.parity import measure_parity
    from fmae_edge.model.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(run)
    model = checkpoint.model
    require_geometry(model.config, read.manifest.image_shape)
    if model.config.latent_size != read.manifest.latent_size:
        raise ParityError(
            f"the model has {model.config.latent_size} latents, but the bundle {read.manifest.latent_size}: "
            f"{bundle} was not exported from {run}"
        )
    with progress_bar("reading images") as on_progress:
        images = find_image_data(asdict(checkpoint.recipe), data or (), on_progress=on_progress)
    require_geometry(model.config, images.held_out.shape[1:])
    with progress_bar("parity") as on_progress:
        measured = measure_parity(model, read.files, torch.from_numpy(images.held_out), on_progress)
    print_line(json_line(measured.to_record()) if json else parity_table(measured))
    if measured.failures():
        raise ParityError("; ".join(["parity gates failed", *measured.failures()]))


def parity_table(parity: "Parity") -> str:
    """Return a table for people: one row per precision, or more if the figures of its settings differ."""
    from fmae_edge.measure.equal_rows import merge_equal_rows

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
    return (
        f"{format_table(list(rows[0]), [list(row.values()) for row in merged])}\n"
        f"{_images(parity)}; PyTorch {parity.torch_psnr:.3f} dB. PSNR is pooled; latent differences are "
        f"shares of their range, pixels lie in [0, 1].{_gradient(parity)}"
    )


def _gradient(parity: "Parity") -> str:
    if parity.gradient is None:
        return ""
    images, difference = parity.gradient.images, parity.gradient.difference
    return f"\nGradient of {images} images: differs by {difference:.1e} of its norm."


def _images(parity: "Parity") -> str:
    if parity.images == parity.held_out_images:
        return f"{parity.images} images"
    return f"{parity.images} of {parity.held_out_images} images"
