"""Turn the options of `fmae-edge train` into a recipe, the sizes of a model, and settings for its images."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmae_edge.commands.console import UsageError, as_option
from fmae_edge.runtime.errors import ArgumentError, shown

if TYPE_CHECKING:
    from fmae_edge.commands.starting_run import StartingRun
    from fmae_edge.data.image_data import ImageData
    from fmae_edge.data.image_settings import ImageSettings
    from fmae_edge.model.config import ModelConfig
    from fmae_edge.model.recipe import Recipe

_CHANNELS = {"gray": 1, "grey": 1, "rgb": 3, "auto": None, None: None}
_CHANNEL_OF = {1: "gray", 3: "rgb"}
_DEFAULT_RUN = "fashion-mnist"
_ANY_RATE = 0.01  # where only the other options are checked


@dataclass(frozen=True)
class ImageOptions:
    """The options about images as the user typed them, None where they are missing."""

    size: str | None = None
    color: str | None = None
    fit: str | None = None
    holdout: Sequence[str] = ()

    @property
    def holdout_paths(self) -> list[Path]:
        """The values of --holdout that are not numbers."""
        return [Path(value) for value in self.holdout if _number(value) is None]

    def settings(self) -> "ImageSettings":
        """Return the settings for reading. Raises UsageError for invalid values and several shares."""
        from fmae_edge.data.image_settings import ImageSettings

        given: dict[str, Any] = {"channels": _CHANNELS[self.color], "fit": self.fit}
        if self.size is not None:
            given["size"] = _size(self.size)
        if self.holdout:
            given["holdout"] = self._share()
        with usage_errors():
            return ImageSettings(**given)

    def require_same(self, recorded: Mapping[str, Any]) -> None:
        """Raise UsageError if an option differs from the `recorded` settings of a run that continues."""
        settings = self.settings()
        size = None if settings.size is None else "x".join(map(str, settings.size))
        before: dict[str, Any] = {
            "--size": "x".join(map(str, recorded["size"])),
            "--color": _CHANNEL_OF[recorded["channels"]],
            "--fit": recorded["fit"],
            "--holdout": recorded["holdout"],
        }
        now: dict[str, Any] = {
            "--size": size,
            "--color": None if settings.channels is None else _CHANNEL_OF[settings.channels],
            "--fit": settings.fit,
            "--holdout": settings.holdout if self.holdout else None,
        }
        for option, value in now.items():
            if value is not None and value != before[option]:
                _refuse(option, value, before[option])

    def _share(self) -> float | None:
        shares = [share for value in self.holdout if (share := _number(value)) is not None]
        if shares and len(self.holdout) > 1:
            raise UsageError("--holdout takes one share, or any number of paths; write ./NAME for a path")
        if shares and not 0 < shares[0] < 1:
            raise UsageError(
                f"--holdout is {shown(self.holdout[0], 40)}; expected a share between 0 and 1, such as 0.1, or a "
                "path; write ./NAME for a path that is a number"
            )
        return shares[0] if shares else None


@dataclass(frozen=True)
class TrainingOptions:
    """The options about model and training as the user typed them, None where they are missing.

    They are fields of Recipe and ModelConfig, except `mse`, which asks for a loss without a rate, and `start`, the
    folder of the run whose weights a new run starts with.
    """

    epochs: int | None = None
    minutes: float | None = None
    batch_size: int | None = None
    lr: float | None = None
    seed: int | None = None
    augment: str | None = None
    rate_distortion: float | None = None
    refine: float | None = None
    mse: bool = False
    start: Path | None = None
    latent_size: int | None = None
    widths: str | None = None

    def __post_init__(self) -> None:
        for option, other in (("minutes", "epochs"), ("rate_distortion", "mse"), ("refine", "mse")):
            if getattr(self, option) is not None and getattr(self, other) not in (None, False):
                names = [f"--{name.replace('_', '-')}" for name in (option, other)]
                raise UsageError(f"{' and '.join(names)} contradict each other; use only one of them")

    def _given(self) -> dict[str, Any]:
        """Return the options that the user typed, by the names of the fields of Recipe and ModelConfig."""
        given = {
            name: value for name, value in vars(self).items() if value is not None and name not in ("mse", "start")
        }
        return given if self.widths is None else {**given, "widths": _widths(self.widths)}

    def resume(self, run: Path) -> tuple["ModelConfig", "Recipe"]:
        """Return the model and the recipe of `run`. Raises UsageError if an option contradicts them."""
        from fmae_edge.model.checkpoint import resume_run

        if self.start is not None:
            raise UsageError(
                f"--from {self.start} is for a new run, but --resume continues {run} with its own weights; "
                "use only one of them"
            )
        with usage_errors():
            config, recipe = resume_run(run, self._given())
        if self.mse and recipe.rate_distortion is not None:
            _refuse("--mse", "set", f"--rate-distortion {recipe.rate_distortion}")
        return config, recipe

    def check(self) -> None:
        """Raise UsageError for values that are invalid with any images, before these are read."""
        self.recipe_for_seed(rate_distortion=None if self.mse else _ANY_RATE)

    def read_start(self) -> "StartingRun | None":
        """Return the run whose weights a new run starts with, if there is one.

        Raises RunError if it cannot be read, and UsageError if an option contradicts it.
        """
        if self.start is None:
            return None
        from fmae_edge.commands.starting_run import StartingRun

        start = StartingRun.read(self.start)
        start.require_same(self._sizes())
        if self.rate_distortion is not None or self.refine:
            start.require_prior()
        return start

    def new_run(self, images: "ImageData", start: "StartingRun | None" = None) -> tuple["ModelConfig", "Recipe"]:
        """Return the model and the recipe of a new run. Raises UsageError for invalid values.

        Fashion-MNIST as it is has no validation images, and gets the defaults of the seed. Other images get those
        of `model.default_recipe`, and a loss with a rate. A run that starts with the weights of another one has
        its model and, unless an option says otherwise, its loss.
        """
        from fmae_edge.model.recipe import ImageSet

        image_shape = images.train.shape[1:]
        config = start.config_for(image_shape) if start else self._config(image_shape)
        is_own = len(images.validation) > 0
        defaults = self._defaults_for_own(images, config) if is_own else {}
        if start:
            defaults |= start.defaults()
        if self.mse:
            defaults["rate_distortion"] = None
        recipe = self.recipe_for_seed(**defaults)
        return config, replace(
            recipe,
            data=images.record,
            train_images=ImageSet(images.train.shape, images.sha256["train"]),
            validation_images=ImageSet(images.validation.shape, images.sha256["validation"]) if is_own else None,
            test_images=ImageSet(images.held_out.shape, images.sha256["held_out"]),
        )

    def recipe_for_seed(self, **defaults: Any) -> "Recipe":
        """Return the recipe with the defaults of the seed, except for `defaults`. Raises UsageError."""
        from fmae_edge.model.recipe import Recipe

        names = {each.name for each in fields(Recipe)}
        given = {name: value for name, value in self._given().items() if name in names}
        if self.minutes is not None:
            given["epochs"] = None
        with usage_errors():
            return Recipe(**{**defaults, **given})

    def _defaults_for_own(self, images: "ImageData", config: "ModelConfig") -> dict[str, Any]:
        from fmae_edge.model import default_recipe as rules

        batch_size = self.batch_size or rules.default_batch_size(len(images.train))
        return {
            "batch_size": batch_size,
            "epochs": rules.default_epochs(len(images.train), batch_size),
            "rate_distortion": rules.default_rate_distortion(config),
            "prior_fit": rules.default_prior_fit(len(images.train)),
        }

    def _sizes(self) -> dict[str, Any]:
        """Return the sizes of the model that the user typed."""
        return {name: value for name, value in self._given().items() if name in _OPTIONS}

    def _config(self, image_shape: Sequence[int]) -> "ModelConfig":
        from fmae_edge.model.config import default_config

        sizes = self._sizes()
        height, width, channels = (*image_shape, 1)[:3]
        config = default_config(height, width, 1 if channels == 1 else 3)
        try:
            return replace(config, **sizes)
        except ValueError as error:
            raise UsageError(f"{' and '.join(_OPTIONS[name] for name in sizes)}: {error}") from None


_OPTIONS = {"latent_size": "--latent", "widths": "--widths"}


@contextmanager
def usage_errors() -> Iterator[None]:
    """Turn the ArgumentError of a block into the UsageError that names the option."""
    try:
        yield
    except ArgumentError as error:
        raise UsageError(as_option(error)) from None


def run_folder(inputs: Sequence[str | Path]) -> Path:
    """Return the default folder of a run: runs/ and the name that the record has for its images."""
    from fmae_edge.data.image_data import name_of_data

    return Path("runs", name_of_data(inputs))


def require_useful(
    inputs: Sequence[str | Path], image_options: ImageOptions, data_folder: Path | None, run: Path
) -> None:
    """Raise UsageError for options that do nothing with these inputs, and for a run among its images."""
    is_named = not inputs or any(isinstance(each, str) for each in inputs)
    if data_folder is not None and not is_named:
        raise UsageError(
            f"--data {data_folder} has the files of a data set, but DATA has no name of one; leave it out"
        )
    if is_named and image_options.holdout and not image_options.holdout_paths:
        raise UsageError(
            f"--holdout is {image_options.holdout[0]}, but a data set has test images of its own, which are held "
            "out; leave it out"
        )
    for each in (*inputs, *image_options.holdout_paths):
        if isinstance(each, Path) and each.is_dir() and run.resolve().is_relative_to(each.resolve()):
            raise UsageError(
                f"the run {run} lies in {each}, where its pictures would be read as images the next time; choose "
                "another folder with -o"
            )


def named_or_path(text: str) -> str | Path:
    """Return an input for `load_image_data`: the name of a data set stays text, everything else is a path."""
    from fmae_edge.data.named_data_sets import DATA_SETS

    return text if text in DATA_SETS else Path(text)


def require_same_name(inputs: Sequence[str | Path], recipe: "Recipe") -> None:
    """Raise UsageError if the inputs are the name of another data set than that of a run that continues."""
    started = _DEFAULT_RUN if recipe.data is None else recipe.data["name"]
    for name in inputs:
        if isinstance(name, str) and name != started:
            _refuse("DATA", name, started)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,6})[xX]([0-9]{1,6})", text)
    if match is None:
        raise UsageError(f"--size is {shown(text, 40)}; expected HEIGHTxWIDTH in pixels, such as 32x32")
    return int(match[1]), int(match[2])


def _widths(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[0-9]{1,6}(,[0-9]{1,6})*", text):
        raise UsageError(f"--widths is {shown(text, 40)}; expected integers with commas, such as 32,64,128")
    return tuple(map(int, text.split(",")))


def _refuse(option: str, value: object, started: object) -> None:
    how = "without it" if started is None else f"with {started}"
    raise UsageError(f"{option} is {value}, but the run was started {how}; leave it out, or start a new run")
