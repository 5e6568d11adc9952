"""`fmae-edge export`."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from fmae_edge.commands.console import json_line, print_line, progress_bar, say
from fmae_edge.commands.options import Json, Run, RunData, integer_option
from fmae_edge.commands.parity import parity_table


def export(
    run: Run,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="BUNDLE", help="Bundle folder to write.", readable=False)
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the bundle. [default: the name of RUN]")
    ] = None,
    data: RunData = None,
    no_rewrite: Annotated[
        bool, typer.Option("--no-rewrite", help="Keep the layers as trained, as a reference for parity and speed.")
    ] = False,
    int8_target: Annotated[
        Literal["avx2", "vnni", "arm"],
        typer.Option(help="CPUs to quantise the int8 graphs for. avx2 is correct on every x86 CPU."),
    ] = "avx2",
    calibration: Annotated[
        Literal["min-max", "percentile", "entropy"], typer.Option(help="Method for the ranges of int8 values.")
    ] = "min-max",
    calibration_images: Annotated[
        int, integer_option("--calibration-images", "N", 1, 4096, help="Training images for the calibration.")
    ] = 512,
    int8_loss: Annotated[
        float,
        typer.Option(
            metavar="DB",
            help="Layers stay in float32 until the int8 graphs lose at most this much PSNR on training images. "
            "More makes graphs faster and smaller; parity allows 0.1 on test images.",
        ),
    ] = 0.04,
    allow_parity_loss: Annotated[
        bool, typer.Option("--allow-parity-loss", help="Write the bundle even if a parity gate fails.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing BUNDLE.")] = False,
    json: Json = False,
) -> None:
    """Turn a trained model into a bundle of ONNX graphs.

    Makes int8 and float32 graphs and compares both with PyTorch on the test images of the run: those held out from
    training, at most 10,000. Layers that would lose too much quality in int8 stay in float32. A bundle that fails
    a parity gate is not written.

    Example: fmae-edge export runs/fashion-mnist -o bundle
    """
    import torch

    from fmae_edge.data.image_data import find_image_data
    from fmae_edge.export.bundle_graphs import ExportOptions
    from fmae_edge.export.bundle_writer import export_bundle
    from fmae_edge.model.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(run)
    with progress_bar("reading images") as on_progress:
        images = find_image_data(asdict(checkpoint.recipe), data or (), on_progress=on_progress)
    with progress_bar("choosing int8 layers") as on_progress:
        manifest, parity = export_bundle(
            run,
            checkpoint,
            torch.from_numpy(images.train),
            torch.from_numpy(images.held_out),
            output,
            name or run.resolve().name,
            ExportOptions(not no_rewrite, int8_target, calibration, calibration_images, int8_loss),
            allow_parity_loss=allow_parity_loss,
            force=force,
            on_progress=partial(on_progress, description="parity"),
            on_layers=on_progress,
        )
    sizes = {file_name: entry.size for file_name, entry in manifest.files.items()}
    if json:
        record = {"output": str(output), "name": manifest.name, "bundle_id": manifest.bundle_id}
        quantisation = manifest.record["quantisation"]
        figures = {"quantisation": quantisation, "parity": parity.to_record()}
        print_line(json_line({**record, "files": sizes, **figures}))
        return
    lines = [parity_table(parity), *_precisions(manifest.record["quantisation"])]
    print_line("\n".join([*lines, *(f"{output / file}  {size} bytes" for file, size in sizes.items())]))
    say(f"wrote bundle {manifest.name} ({manifest.bundle_id}) to {output}")


def _precisions(quantisation: Mapping[str, Any]) -> list[str]:
    """Return lines about the int8 graphs: what they lose, and which of their layers are not in int8."""
    loss, layers = quantisation["int8_loss"], quantisation["layers"]
    lines = [
        f"int8 graphs: {loss['db']:.3f} dB lost on {loss['training_images']} training images, "
        f"at most {loss['limit_db']} wanted"
    ]
    for reason in dict.fromkeys(layer["reason"] for layer in layers if layer["reason"]):
        names = [
            f"{layer['name']} ({layer['loss_db']:.3f} dB in int8)" for layer in layers if layer["reason"] == reason
        ]
        lines.append(f"stay in float32 ({reason}): {', '.join(names)}")
    return lines
