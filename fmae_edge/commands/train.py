"""`fmae-edge train`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from fmae_edge.commands import console
from fmae_edge.commands.options import Json, integer_option
from fmae_edge.commands.training_inputs import TrainingInputs
from fmae_edge.commands.training_options import (
    ImageOptions,
    TrainingOptions,
    named_or_path,
    require_useful,
    run_folder,
)
from fmae_edge.commands.training_progress import TrainingProgress, describe_run

_IMAGES, _MODEL, _TRAINING = "Images", "Model and loss", "Training"


def train(
    inputs: Annotated[
        list[Any] | None,
        typer.Argument(
            metavar="DATA",
            parser=named_or_path,
            help="Images to train on: folders, image files, .npy and .npz arrays, .txt lists of paths, or the "
            "name of a data set (fashion-mnist, mnist, kmnist, emnist, cifar10, svhn). [default: fashion-mnist]",
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="RUN",
            help="Folder of the run, with checkpoints, metrics and pictures. [default: runs/ and the name of "
            "DATA: runs/photos for photos/, runs/letters-train for letters/train]",
            readable=False,
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue after the last epoch of the run.")] = False,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HxW",
            help="Height and width of the images in pixels, 8 to 256. [default: the commonest size]",
            rich_help_panel=_IMAGES,
        ),
    ] = None,
    color: Annotated[
        Literal["gray", "grey", "rgb", "auto"] | None,
        typer.Option(
            help="Train on gray or RGB images. auto is RGB if any image has colours. [default: auto]",
            rich_help_panel=_IMAGES,
        ),
    ] = None,
    fit: Annotated[
        Literal["exact", "resize", "crop", "pad"] | None,
        typer.Option(
            help="Leave out images of other sizes, stretch them, cut out their centre, or add black. "
            "[default: refuse them]",
            rich_help_panel=_IMAGES,
        ),
    ] = None,
    holdout: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SHARE|PATH",
            help="Share of the images to hold out for measuring, or their paths; may be repeated for paths. "
            "[default: 0.1]",
            rich_help_panel=_IMAGES,
        ),
    ] = None,
    allow_unreadable: Annotated[
        bool,
        typer.Option(
            "--allow-unreadable",
            help="Train even if more than 1 % of the files cannot be read.",
            rich_help_panel=_IMAGES,
        ),
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder with the files of a data set that DATA names. [default: the Debian package of "
            "Fashion-MNIST, or a download]",
            readable=False,
            rich_help_panel=_IMAGES,
        ),
    ] = None,
    latent: Annotated[
        int | None,
        integer_option(
            "--latent",
            "N",
            1,
            help="Numbers in a latent. [default: by the size of the images; 64 for 28x28 gray]",
            panel=_MODEL,
        ),
    ] = None,
    widths: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,...",
            help="Channels of the convolutions; each but the last halves the image. [default: by the size of the "
            "images; 32,64,128 for 28x28]",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    rate_distortion: Annotated[
        float | None,
        typer.Option(
            metavar="LAMBDA",
            help="Minimise bits per pixel + LAMBDA x 255^2 x MSE at the middle quality. [default: 0.005 "
            "times the latents per pixel for own images; only the MSE for fashion-mnist]",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    refine: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Share of the run, at its end, that also trains the decoder and the prior on latents that a "
            "search has improved, so that --effort gains more. It takes several times as long. [default: 0]",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    mse: Annotated[
        bool, typer.Option("--mse", help="Minimise only the MSE, without a rate.", rich_help_panel=_MODEL)
    ] = False,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Start with the model and the prior of a finished run instead of random weights, and by default "
            "with its loss.",
            readable=False,
            rich_help_panel=_MODEL,
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        integer_option(
            "--epochs",
            "N",
            1,
            help="Passes over the training images. [default: about 20,000 steps, 10 to 300 passes; 10 for "
            "fashion-mnist]",
            panel=_TRAINING,
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            metavar="M",
            help="Train for this time instead; fitting the prior comes after it. Such runs do not repeat exactly.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    augment: Annotated[
        Literal["none", "flip", "shift"] | None,
        typer.Option(
            help="Change images at random: mirror half of them left to right, or move each by up to 1/16 of its "
            "sides. [default: none]",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        integer_option(
            "--batch-size",
            "N",
            1,
            help="Images per step, in all processes. [default: 256; 32 to 128 for fewer than 5,120 images]",
            panel=_TRAINING,
        ),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(metavar="RATE", help="Peak learning rate. [default: 0.004]", rich_help_panel=_TRAINING),
    ] = None,
    seed: Annotated[
        int | None,
        integer_option(
            "--seed", "N", 0, help="Seed of the weights and of the order of images. [default: 0]", panel=_TRAINING
        ),
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"],
        typer.Option(help="Device to train on. auto chooses the fastest one.", rich_help_panel=_TRAINING),
    ] = "auto",
    json: Json = False,
) -> None:
    """Train a codec for your own images, or for a data set.

    Each epoch writes a checkpoint and metrics to the folder of the run, and TensorBoard events if tensorboard is
    installed. The first 20 epochs, then every tenth and the last one are drawn: curves.png, and a picture such as
    reconstructions/epoch-001.png. A part of the images is held out for measuring. Another small part, for
    validation, chooses the epoch whose weights are kept, and training stops early if it gets worse. The run
    records its images: --resume refuses other data. `torchrun --nproc-per-node N -m fmae_edge train ...` trains in
    N processes, on CPUs or on one CUDA device each. On a CPU, one process uses as many threads as make its steps
    fastest; OMP_NUM_THREADS fixes the number, and then a run repeats exactly.

    Example: fmae-edge train photos/ -o runs/photos --minutes 30
    Example: fmae-edge train -o runs/fashion-mnist
    """
    given: list[str | Path] = list(inputs or ())
    run = run or run_folder(given)
    image_options = ImageOptions(size, color, fit, tuple(holdout or ()))
    options = TrainingOptions(
        epochs, minutes, batch_size, lr, seed, augment, rate_distortion, refine, mse, start, latent, widths
    )
    image_options.settings()
    options.check()
    if not resume:
        require_useful(given, image_options, data, run)

    import torch

    from fmae_edge.model.autoencoder import Autoencoder
    from fmae_edge.model.checkpoint import load_checkpoint, start_run
    from fmae_edge.train.loop import train as train_model
    from fmae_edge.train.measurement import measure_held_out
    from fmae_edge.train.processes import join
    from fmae_edge.train.run_pictures import RunPictures
    from fmae_edge.train.step_threads import chosen_by_time

    processes, torch_device = join(device)
    threads = chosen_by_time() if torch_device.type == "cpu" and processes.count == 1 else None
    typed = TrainingInputs(given, data, image_options, options, allow_unreadable)
    starting_run = None
    with processes.first_alone():  # it checks everything, and the others find the images in the cache
        if not processes.is_first:
            console.set_verbosity(quiet=True)
            config, recipe, images = typed.read_started(run)
        elif resume:
            config, recipe, images = typed.read_again(run)
        else:
            config, recipe, images, starting_run = typed.read(run)
        torch.manual_seed(recipe.seed)
        model, prior = Autoencoder(config), None
        if starting_run:
            model, prior = starting_run.checkpoint.model, starting_run.checkpoint.prior
        if processes.is_first and not resume:
            start_run(run, config, recipe)  # after what may need more memory than there is
    train_images, validation, test = map(torch.from_numpy, (images.train, images.validation, images.held_out))
    measured = test if recipe.validation_images is None else validation
    inputs_of_loop = (run, model, recipe, train_images, measured, torch_device)
    if not processes.is_first:
        train_model(*inputs_of_loop, processes=processes)
        return
    try:
        with console.progress_bar("") as update, RunPictures(run, measured) as pictures:
            progress = TrainingProgress(json, update, recipe, len(train_images))
            for note in images.notes:
                progress.say(note)
            progress.say(describe_run(images, recipe, torch_device, start))
            progress.on_processes(run, processes.count)
            callbacks = (progress.on_step, progress.on_epoch, progress.on_fit, pictures.on_measured)
            afterwards = (progress.on_trained, prior, progress.on_refined, processes)
            metrics = train_model(*inputs_of_loop, *callbacks, *afterwards, threads=threads)
            prior = load_checkpoint(run).prior
            if len(test):
                held_out = measure_held_out(
                    model, prior.to(torch_device) if prior else None, train_images, test, torch_device
                )
                progress.on_held_out(held_out, images.held_out)
            progress.say(f"{len(metrics)} epochs done: {run}; next: fmae-edge export {run} -o BUNDLE")
    except KeyboardInterrupt:
        console.say_error(f"stopped; to continue after the last finished epoch: fmae-edge train -o {run} --resume")
        raise typer.Exit(130) from None
