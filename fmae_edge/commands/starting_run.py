"""The finished run whose weights a new one starts with: `fmae-edge train --from RUN`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmae_edge.commands.console import UsageError, as_option
from fmae_edge.model.checkpoint import Checkpoint, load_checkpoint, sha256_of_model
from fmae_edge.model.config import ModelConfig
from fmae_edge.runtime.errors import ArgumentError

# A trained encoder needs no steps without a rate: its latents already have what a coarse quantiser would hide
_WARM_UP, _RATE_START = 0.15, 0.0


@dataclass(frozen=True)
class StartingRun:
    """The model, the prior and the recipe of the run in `folder`."""

    folder: Path
    checkpoint: Checkpoint
    sha256: str

    @classmethod
    def read(cls, folder: Path) -> "StartingRun":
        """Read a finished run. Raises RunError if a file is missing or damaged."""
        return cls(folder, load_checkpoint(folder), sha256_of_model(folder))

    def require_same(self, sizes: Mapping[str, Any]) -> None:
        """Raise UsageError if the model has other `sizes`, fields of ModelConfig."""
        for name, value in sizes.items():
            if value != (present := getattr(self.checkpoint.model.config, name)):
                problem = f"is {value}, but --from {self.folder} has {present}; leave out one of them"
                raise UsageError(as_option(ArgumentError(name, problem)))

    def require_prior(self) -> None:
        """Raise UsageError if the run was trained without a rate."""
        if self.checkpoint.prior is None:
            raise UsageError(
                f"--from {self.folder} was trained without a rate, so it has no prior for --rate-distortion or "
                "--refine; leave them out, or start from a run with a rate"
            )

    def config_for(self, image_shape: Sequence[int]) -> ModelConfig:
        """Return the sizes of the model. Raises UsageError if images of this shape do not fit them."""
        config = self.checkpoint.model.config
        if tuple(image_shape) != config.image_shape:
            size, color = f"{config.height}x{config.width}", "gray" if config.image_channels == 1 else "rgb"
            now, needed = map(_kind, (image_shape, config.image_shape))
            raise UsageError(
                f"the images are {now}, but the model of --from {self.folder} is for {needed}; "
                f"give --size {size}, --color {color} and --fit resize, or leave out --from"
            )
        return config

    def defaults(self) -> dict[str, Any]:
        """Return the fields of Recipe that differ from those of a run that starts with random weights."""
        return {
            "start": self.sha256,
            "rate_distortion": self.checkpoint.recipe.rate_distortion,
            "warm_up": _WARM_UP,
            "rate_start": _RATE_START,
        }


def _kind(image_shape: Sequence[int]) -> str:
    return f"{image_shape[0]}x{image_shape[1]} {'gray' if len(image_shape) == 2 else 'RGB'}"
