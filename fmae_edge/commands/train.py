"""`fmae-edge train`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fmae_edge.commands.console import UsageError, as_option, say_error
from fmae_edge.commands.integers import integer
from fmae_edge.commands.options import Data, Json

if TYPE_CHECKING:
    from fmae_edge.model.recipe import Recipe


def train(
    run: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="RUN",
            help="Folder of the run, with checkpoints, metrics and pictures.",
            readable=False,
        ),
    ] = Path("runs/fashion-mnist"),
    data: Data = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue after the last epoch of the run.")] = False,
    epochs: Annotated[
        int | None,
        typer.Option(
            metavar="N", parser=integer("--epochs", 1), help="Passes over the training images. [default: 10]"
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(metavar="N", parser=integer("--batch-size", 1), help="Images per step. [default: 256]"),
    ] = None,
    lr: Annotated[float | None, typer.Option(metavar="RATE", help="Peak learning rate. [default: 0.004]")] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            parser=integer("--seed", 0),
            help="Seed of the weights and of the order of images. [default: 0]",
        ),
    ] = None,
    rate_distortion: Annotated[
        float | None,
        typer.Option(
            metavar="LAMBDA",
            help="Minimise bits per pixel + LAMBDA x 255^2 x MSE at the middle quality. "
            "[default: minimise the MSE only]",
        ),
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"],
        typer.Option(help="Device to train on. auto chooses the fastest one."),
    ] = "auto",
    json: Json = False,
) -> None:
    """Train the autoencoder on Fashion-MNIST.

    Each epoch writes a checkpoint, metrics, curves.png and reconstructions/epoch-001.png and so on to the folder
    of the run, and TensorBoard events if tensorboard is installed.

    Example: fmae-edge train -o runs/fashion-mnist
    """
    import torch

    from fmae_edge.commands.progress import TrainingProgress
    from fmae_edge.data.fashion_mnist import load_fashion_mnist
    from fmae_edge.model.autoencoder import Autoencoder
    from fmae_edge.model.checkpoint import read_config, read_recipe, start_run
    from fmae_edge.model.config import ModelConfig
    from fmae_edge.model.recipe import Recipe
    from fmae_edge.runtime.errors import ArgumentError
    from fmae_edge.train.device import has_fast_bfloat16, resolve_device
    from fmae_edge.train.loop import train as train_model
    from fmae_edge.train.pictures import RunPictures

    options: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed}
    options["rate_distortion"] = rate_distortion
    given = {name: value for name, value in options.items() if value is not None}
    where = resolve_device(device)
    if resume:
        config, recipe = read_config(run), read_recipe(run)
        for name, value in given.items():
            if value != getattr(recipe, name):
                option = f"--{name.replace('_', '-')}"
                raise UsageError(
                    f"the run was started with {option} {getattr(recipe, name)}, and another value would not "
                    f"continue it; leave {option} out, or start a new run"
                )
    else:
        try:
            config, recipe = ModelConfig(), Recipe(**given)
        except ArgumentError as error:
            raise UsageError(as_option(error)) from None
    images = load_fashion_mnist(data)
    train_images, test_images = torch.from_numpy(images.train), torch.from_numpy(images.test)
    if not resume:
        start_run(run, config, recipe)
    precision = "bfloat16 autocast" if has_fast_bfloat16(where) else "float32"
    torch.manual_seed(recipe.seed)
    model = Autoencoder(config)
    try:
        with TrainingProgress(json) as progress, RunPictures(run, test_images) as pictures:
            progress.say(
                f"training on {len(images.train)} images from {images.folder}: {recipe.epochs} epochs, "
                f"batch {recipe.batch_size}, lr {recipe.lr}, seed {recipe.seed}, "
                f"{_objective(recipe)}, {where.type}, {precision}"
            )
            metrics = train_model(
                run,
                model,
                recipe,
                train_images,
                test_images,
                where,
                progress.on_step,
                progress.on_epoch,
                progress.on_fit,
                pictures.on_measured,
            )
            progress.say(f"{len(metrics)} epochs done: {run}; next: fmae-edge export {run} -o BUNDLE")
    except KeyboardInterrupt:
        say_error(f"stopped; to go on after the last finished epoch: fmae-edge train -o {run} --resume")
        raise typer.Exit(130) from None


def _objective(recipe: "Recipe") -> str:
    if recipe.rate_distortion is None:
        return "loss: MSE"
    return f"loss: rate and distortion with lambda {recipe.rate_distortion}"
