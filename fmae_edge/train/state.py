"""Everything that changes during a run: saved after each epoch, and restored to continue it."""

import copy
from pathlib import Path

from torch import Tensor

from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.checkpoint import Metrics, Progress, RunError, load_progress, publish, save_progress
from fmae_edge.model.chosen_epoch import chosen_epoch
from fmae_edge.model.learned_prior import Prior
from fmae_edge.train.optimiser import Optimisers
from fmae_edge.train.processes import ALONE, Processes


class TrainingState:
    """The model, prior and optimisers of a run with their metrics, and copies of its best model and prior.

    With `keeps_best`, the best ones are those of the best epoch on the validation images; otherwise of the last.
    All `processes` have the same state; the first one writes it.
    """

    def __init__(
        self, run: Path, model: Autoencoder, prior: Prior | None, keeps_best: bool, processes: Processes = ALONE
    ) -> None:
        self.model, self.prior = model, prior
        self.optimisers = Optimisers(model, prior)
        self.metrics: list[Metrics] = []
        self.elapsed = 0.0
        self.processes, self._run = processes, run
        self._best = (copy.deepcopy(model), copy.deepcopy(prior)) if keeps_best else (model, prior)

    def restore(self) -> None:
        """Continue with what `save` wrote in the folder of the run, if there is something.

        Raises RunError if it does not fit the model.
        """
        progress = load_progress(self._run)
        if progress is None:
            return
        try:
            for prefix, model, prior in (("", self.model, self.prior), ("best.", *self._best)):
                if prefix and model is self.model:
                    continue
                model.load_state_dict(_with_prefix(progress.tensors, f"{prefix}model."))
                if prior:
                    prior.load_state_dict(_with_prefix(progress.tensors, f"{prefix}prior."))
            self.optimisers.load_tensors(_with_prefix(progress.tensors, "optimiser."))
        except (RuntimeError, ValueError, KeyError):
            raise RunError(f"{self._run}: the saved state does not fit config.json") from None
        self.metrics, self.elapsed = list(progress.metrics), progress.elapsed
        if self.processes.is_first:
            publish(self._run, self._best[0], self.metrics)

    def save_start(self) -> None:
        """Write everything before the first epoch of a run that starts from the weights of another one.

        So it is resumed without the other one, even within its first epoch.
        """
        self._write()

    def save(self, metrics: Metrics, elapsed: float) -> None:
        """Add the metrics of a finished epoch, and write everything."""
        self.metrics.append(metrics)
        self.elapsed = elapsed
        if self._best[0] is not self.model and chosen_epoch(self.metrics) is metrics:
            _copy(self.model, self._best[0])
            if self.prior and self._best[1]:
                _copy(self.prior, self._best[1])
        self._write()

    def _write(self) -> None:
        if not self.processes.is_first:
            return
        tensors = _tensors("", self.model, self.prior)
        if self._best[0] is not self.model:
            tensors |= _tensors("best.", *self._best)
        tensors |= {f"optimiser.{name}": tensor for name, tensor in self.optimisers.tensors().items()}
        save_progress(
            self._run, self._best[0], Progress(tensors, self.metrics, self.elapsed, self.processes.count)
        )

    def return_to_best(self) -> None:
        """Give the model and the prior the weights that the run keeps."""
        if self._best[0] is not self.model:
            _copy(self._best[0], self.model)
            if self.prior and self._best[1]:
                _copy(self._best[1], self.prior)


def _copy(source: Autoencoder | Prior, target: Autoencoder | Prior) -> None:
    target.load_state_dict(source.state_dict())


def _tensors(prefix: str, model: Autoencoder, prior: Prior | None) -> dict[str, Tensor]:
    tensors = {f"{prefix}model.{name}": tensor for name, tensor in model.state_dict().items()}
    if prior:
        tensors |= {f"{prefix}prior.{name}": tensor for name, tensor in prior.state_dict().items()}
    return tensors


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
