"""Read and write the folder of a training run.

    config.json          the architecture
    recipe.json          everything else that decides the result: options, constants, hashes of the images
    model.safetensors    the weights for `export`: of the best epoch so far on the validation images, or of the
                         last epoch if the run has none
    resume.safetensors   the weights after the last finished epoch, those of the best one, the state of the
                         optimisers and the metrics so far, for --resume
    prior.safetensors    the prior over the quantised latents, if the recipe has a rate; written last
    metrics.jsonl        one line per epoch

    curves.png           the metrics over the epochs so far
    reconstructions/     pictures of epochs: the first validation or test images above their reconstructions
    tensorboard/         events for TensorBoard, if it is installed

The last three are for people: nothing reads them, and a run continues without them. They are written after the
checkpoint of an epoch, so an interruption in between leaves that epoch without its picture.

Only safetensors and JSON files are read: loading a run cannot execute code.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.chosen_epoch import chosen_epoch
from fmae_edge.model.config import ModelConfig
from fmae_edge.model.learned_prior import Prior
from fmae_edge.model.recipe import Recipe
from fmae_edge.runtime.atomic_write import write_file
from fmae_edge.runtime.errors import ArgumentError, FmaeError

CONFIG, RECIPE, METRICS = "config.json", "recipe.json", "metrics.jsonl"
MODEL, PRIOR, RESUME = "model.safetensors", "prior.safetensors", "resume.safetensors"

Metrics = dict[str, Any]


class RunError(FmaeError):
    """A run folder that cannot be started, continued or read."""


@dataclass(frozen=True)
class Checkpoint:
    """A trained model, and its prior if it has one, with its config, recipe and metrics."""

    model: Autoencoder
    prior: Prior | None
    recipe: Recipe
    metrics: list[Metrics]


@dataclass(frozen=True)
class Progress:
    """Everything that an interrupted run needs to continue.

    Named tensors, one entry of metrics per epoch, the seconds that the run took so far, and how many processes
    computed the last epoch.
    """

    tensors: dict[str, Tensor]
    metrics: list[Metrics]
    elapsed: float = 0.0
    processes: int = 1


def start_run(run: Path, config: ModelConfig, recipe: Recipe) -> None:
    """Create folder `run` with the config and the recipe. Raises RunError if it is not empty, or not writable."""
    require_new(run)
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{run}: cannot be created ({error.strerror})") from None
    _write_json(run / CONFIG, dataclasses.asdict(config))
    _write_json(run / RECIPE, dataclasses.asdict(recipe))


def require_new(run: Path) -> None:
    """Raise RunError if `run` exists and is not an empty folder."""
    if run.exists() and (not run.is_dir() or any(run.iterdir())):
        raise RunError(f"{run}: already exists; continue with --resume, or choose another folder with -o")


def save_progress(run: Path, model: Autoencoder, progress: Progress) -> None:
    """Write the state after an epoch, or before the first one; `model` is the one that the run keeps so far."""
    metadata = {"metrics": json.dumps(progress.metrics), "elapsed": str(progress.elapsed)}
    if progress.processes > 1:
        metadata["processes"] = str(progress.processes)
    write_file(run / RESUME, safetensors.torch.save(_on_cpu(progress.tensors), metadata), force=True)
    publish(run, model, progress.metrics)


def publish(run: Path, model: Autoencoder, metrics: list[Metrics]) -> None:
    """Write the weights and the metrics, for `export` and for people. Without a finished epoch, do nothing."""
    if not metrics:
        return
    epochs = {"epochs": str(chosen_epoch(metrics)["epoch"])}
    write_file(run / MODEL, safetensors.torch.save(_on_cpu(model.state_dict()), epochs), force=True)
    lines = "".join(json.dumps(entry) + "\n" for entry in metrics)
    write_file(run / METRICS, lines.encode(), force=True)


def has_prior(run: Path) -> bool:
    """Return whether `save_prior` has written a prior in `run`."""
    return (run / PRIOR).exists()


def save_prior(run: Path, prior: Prior) -> None:
    """Write the prior that was fitted to the finished encoder."""
    write_file(run / PRIOR, safetensors.torch.save(_on_cpu(prior.state_dict())), force=True)


def load_progress(run: Path) -> Progress | None:
    """Return the state that `save_progress` wrote in `run`, or None if no epoch is finished.

    Raises RunError if the state is damaged, or if `run` has a model without it.
    """
    path = run / RESUME
    if not path.exists():
        if (run / MODEL).exists():
            raise RunError(f"{run}: has a {MODEL} but no {RESUME}, so training cannot continue")
        return None
    tensors, metadata = _read_safetensors(path)
    try:
        metrics, elapsed = json.loads(metadata["metrics"]), float(metadata.get("elapsed", 0))
        return Progress(tensors, metrics, elapsed, int(metadata.get("processes", 1)))
    except (KeyError, ValueError) as error:
        raise RunError(f"{path}: has no metrics ({error!r}), so fmae-edge train did not write it") from None


def processes_of(run: Path) -> int | None:
    """Return how many processes computed the last finished epoch of `run`, or None if there is none.

    Raises RunError as `load_progress` does.
    """
    progress = load_progress(run)
    return progress.processes if progress and progress.metrics else None


def read_config(run: Path) -> ModelConfig:
    """Return the architecture of `run`. Raises RunError if config.json is missing or invalid."""
    return _read_record(run / CONFIG, "ModelConfig", _config_of)


def _config_of(*, image_size: int | None = None, **sizes: Any) -> ModelConfig:
    """Return a config; older runs were for square images and recorded `image_size`."""
    return ModelConfig(**sizes) if image_size is None else ModelConfig(image_size, image_size, **sizes)


def read_recipe(run: Path) -> Recipe:
    """Return the recipe of `run`. Raises RunError if recipe.json is missing or invalid."""
    return _read_record(run / RECIPE, "Recipe", Recipe)


def resume_run(run: Path, options: Mapping[str, object]) -> tuple[ModelConfig, Recipe]:
    """Return the architecture and the recipe of `run`, to continue it.

    Raises ArgumentError if a value in `options`, the fields of both, differs from that of the run: it would start
    another one. Raises RunError if a run from the weights of another one stopped before it had copied them.
    """
    config, recipe = read_config(run), read_recipe(run)
    if recipe.start is not None and not (run / RESUME).exists() and not (run / MODEL).exists():
        raise RunError(
            f"{run}: has no {RESUME}, because it stopped before it had copied the weights that it starts from; "
            "delete it, and train again with --from"
        )
    recorded = {**vars(config), **vars(recipe)}
    for name, value in options.items():
        if value != (started := recorded[name]):
            raise ArgumentError(
                name, f"is {value}, but the run was started {_with(started)}; leave it out, or start a new run"
            )
    return config, recipe


def _with(value: object) -> str:
    return "without it" if value is None else f"with {value}"


def load_checkpoint(run: Path) -> Checkpoint:
    """Load the trained model in folder `run`, in evaluation mode on the CPU.

    Raises RunError if a file is missing or damaged, or the weights do not fit the config.
    """
    if not run.is_dir():
        raise RunError(f"{run}: no such run folder; `fmae-edge train -o {run}` creates it")
    recipe = read_recipe(run)
    model = Autoencoder(read_config(run))
    _load_weights(model, run, MODEL)
    prior = None
    if recipe.rate_distortion is not None:
        prior = Prior(model.config.latent_size)
        _load_weights(prior, run, PRIOR)
        prior.eval()
    return Checkpoint(model.eval(), prior, recipe, _read_metrics(run / METRICS))


def sha256_of_model(run: Path) -> str:
    """Return the SHA-256 of the weights of a run, which `load_checkpoint` reads."""
    return hashlib.sha256((run / MODEL).read_bytes()).hexdigest()


def _load_weights(module: nn.Module, run: Path, name: str) -> None:
    """Read the file `name` of `run` into `module`, which was built from config.json.

    Raises RunError if the names or shapes differ, or a weight is not finite.
    """
    weights, _ = _read_safetensors(run / name)
    expected = module.state_dict()
    for key in sorted(expected.keys() | weights.keys()):
        needed, present = (tuple(t[key].shape) if key in t else "nothing" for t in (expected, weights))
        if needed != present:
            raise RunError(f"{run}: {name} has {present} for {key} where {CONFIG} needs {needed}")
        if not torch.isfinite(weights[key]).all():
            raise RunError(f"{run}: {name} has NaN or infinity in {key}, so the training diverged")
    module.load_state_dict(weights)


def _on_cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise RunError(f"{path}: missing; did `fmae-edge train` finish in this folder?") from None
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path}: damaged or not a safetensors file ({error})") from None


_Record = TypeVar("_Record", ModelConfig, Recipe)


def _read_record(path: Path, kind: str, build: Callable[..., _Record]) -> _Record:
    try:
        return build(**json.loads(path.read_bytes()))
    except OSError as error:
        raise RunError(
            f"{path}: cannot be read ({error.strerror}); is this the folder of a `fmae-edge train` run?"
        ) from None
    except (ValueError, TypeError) as error:
        raise RunError(f"{path}: not a valid {kind} ({error})") from None


def _read_metrics(path: Path) -> list[Metrics]:
    try:
        return [json.loads(line) for line in path.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error})") from None


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_file(path, (json.dumps(content, indent=1) + "\n").encode(), force=True)
