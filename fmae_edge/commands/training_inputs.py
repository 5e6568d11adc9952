"""The images, the sizes of the model and the recipe of a run that `fmae-edge train` starts or continues."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fmae_edge.commands import console
from fmae_edge.commands.training_options import ImageOptions, TrainingOptions, require_same_name, usage_errors

if TYPE_CHECKING:
    from fmae_edge.commands.starting_run import StartingRun
    from fmae_edge.data.image_data import ImageData
    from fmae_edge.model.config import ModelConfig
    from fmae_edge.model.recipe import Recipe


@dataclass(frozen=True)
class TrainingInputs:
    """What the user typed: the images `given`, the folder of a data set, and options."""

    given: Sequence[str | Path]
    folder: Path | None
    image_options: ImageOptions
    options: TrainingOptions
    allow_unreadable: bool

    def read(self, run: Path) -> tuple["ModelConfig", "Recipe", "ImageData", "StartingRun | None"]:
        """Read the images of a new run, which may start with the weights of another one.

        Raises RunError if `run` exists, DataError for unusable images, UsageError for options that do not fit.
        """
        from fmae_edge.data.image_data import load_image_data
        from fmae_edge.model.checkpoint import require_new

        require_new(run)
        start = self.options.read_start()
        with console.progress_bar("reading images") as on_read, usage_errors():
            images = load_image_data(
                self.given,
                self.image_options.settings(),
                holdout_paths=self.image_options.holdout_paths,
                named_folder=self.folder,
                allow_unreadable=self.allow_unreadable,
                on_progress=on_read,
            )
        return *self.options.new_run(images, start), images, start

    def read_again(self, run: Path) -> tuple["ModelConfig", "Recipe", "ImageData"]:
        """Find the images of a run that continues. Raises as `read`, and RunError if it cannot be continued."""
        config, recipe = self.options.resume(run)
        if recipe.data is not None:
            self.image_options.require_same(recipe.data["settings"])
        require_same_name(self.given, recipe)
        return config, recipe, self._find(recipe)

    def read_started(self, run: Path) -> tuple["ModelConfig", "Recipe", "ImageData"]:
        """Find the images of a run that another process has just started, or continues."""
        from fmae_edge.model.checkpoint import read_config, read_recipe

        recipe = read_recipe(run)
        return read_config(run), recipe, self._find(recipe)

    def _find(self, recipe: "Recipe") -> "ImageData":
        from fmae_edge.data.image_data import find_image_data

        again = [each for each in self.given if isinstance(each, Path)]
        again += [*self.image_options.holdout_paths, *([self.folder] if self.folder else [])]
        with console.progress_bar("reading images") as on_read:
            return find_image_data(asdict(recipe), again, on_progress=on_read)
