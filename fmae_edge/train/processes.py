"""Several processes that train one model: torchrun starts them, and each computes a share of every batch.

A batch of the recipe is that of all processes together. Its images, their order and all random numbers are those
of a run in one process, so the results differ only in the order of sums.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from fmae_edge.model.checkpoint import RunError
from fmae_edge.runtime.errors import InputError
from fmae_edge.train.device import DeviceName, resolve_device

_TIMEOUT, _PATIENCE = timedelta(minutes=10), timedelta(days=7)  # of a step; of reading images
# In messages of gloo and NCCL, whose errors have no class of their own
_SIGNS_OF_LOSS = (
    "connection closed by peer",
    "connection reset by peer",
    "broken pipe",
    "remote process exited",
    "timed out",
    "timeout",
)

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Share:
    """The part of a batch of `total` images that one process computes: every `step`-th image from `first` on."""

    total: int
    first: int = 0
    step: int = 1

    def take(self, values: Tensor) -> Tensor:
        """Return this part of `values` (total, ...). It has at least one row, which may have no weight."""
        own = values[self.first :: self.step]
        return own if len(own) else values[:1]

    @property
    def images(self) -> int:
        """The number of images in this part."""
        return len(range(self.first, self.total, self.step))

    @property
    def weight(self) -> float:
        """The factor for the mean of this part: the mean of these products is the mean of the batch."""
        return self.images * self.step / self.total

    def half(self) -> "Share":
        """Return the share of the first half of the batch; its images are the first ones of this share."""
        return Share(max(1, self.total // 2), self.first, self.step)


class Processes:
    """The `count` processes of a run; this one has number `rank`, from 0. The first one writes and prints."""

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count
        self._prepared = False
        self._patient = dist.new_group(backend="gloo", timeout=_PATIENCE) if count > 1 else None

    @property
    def is_first(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def share(self, total: int) -> Share:
        """Return the part of a batch of `total` images that this process computes."""
        return Share(total, self.rank, self.count)

    def computes(self, number: int) -> bool:
        """Return whether part `number` of some work, from 0, is one for this process."""
        return number % self.count == self.rank

    def sums(self, *values: float) -> list[float]:
        """Return the sum of each value over all processes."""
        if self.count == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        return total.tolist()

    def agree(self, value: _Value) -> _Value:
        """Return the value of the first process."""
        if self.count == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def gather(self, own: list[_Value]) -> list[_Value]:
        """Return the results of all parts in their order; `own` has those that this process computes."""
        if self.count == 1:
            return own
        each: list[list[_Value]] = [[] for _ in range(self.count)]
        dist.all_gather_object(each, own)
        return [each[number % self.count][number // self.count] for number in range(sum(map(len, each)))]

    def together(self, module: nn.Module, device: torch.device) -> nn.Module:
        """Return `module` with gradients that are means over all processes, and the weights of the first one.

        Each call of it must use all of its weights.
        """
        if self.count == 1:
            return module
        devices = [device.index] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(module, device_ids=devices, gradient_as_bucket_view=True)

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Run a block in the first process, then in the others."""
        if not self.is_first:
            self._wait()
        yield
        if self.is_first:
            self._wait()
        self._prepared = True

    def _wait(self) -> None:
        if self.count > 1:
            with self.losses_named():
                dist.barrier(group=self._patient)

    @contextmanager
    def losses_named(self) -> Iterator[None]:
        """Turn the error of a block that waits for a process that has ended into RunError."""
        try:
            yield
        except RuntimeError as error:
            if self.count == 1 or not any(sign in str(error).lower() for sign in _SIGNS_OF_LOSS):
                raise
            raise RunError(self._lost()) from error

    def _lost(self) -> str:
        sentence = f"process {self.rank + 1} of {self.count} stops, because another process of the run has ended"
        # Before, the first process has refused an option or the images, and --resume would not help
        return f"{sentence}; continue after the last finished epoch with --resume" if self._prepared else sentence

    def stop_at_signal(self, number: int, _: object) -> None:
        """Raise RunError: torchrun sends SIGTERM to all processes when one has ended."""
        signal.signal(number, signal.SIG_IGN)  # the message is not interrupted
        raise RunError(self._lost())

    def leave(self) -> None:
        """Leave the others, which end now, after the last step; the first process goes on with their threads."""
        if self.count > 1:
            self._wait()
            dist.destroy_process_group()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            torch.set_num_threads(torch.get_num_threads() * int(os.environ["LOCAL_WORLD_SIZE"]))


ALONE = Processes()


def join(name: DeviceName) -> tuple[Processes, torch.device]:
    """Return the processes that torchrun started, or this one alone, and its device.

    Raises InputError if this machine does not have the device, or too few of them.
    """
    if not dist.is_available() or not dist.is_torchelastic_launched() or os.environ["WORLD_SIZE"] == "1":
        return ALONE, resolve_device(name)
    here, number = (int(os.environ[key]) for key in ("LOCAL_WORLD_SIZE", "LOCAL_RANK"))
    device = resolve_device("cpu" if name == "auto" and not torch.cuda.is_available() else name)
    if device.type == "cuda":
        if here > (present := torch.cuda.device_count()):
            raise InputError(
                f"torchrun started {here} processes on a machine with {present} CUDA devices; start at most "
                f"{present}, or use --device cpu"
            )
        device = torch.device("cuda", number)
        torch.cuda.set_device(device)
    elif device.type != "cpu":
        raise InputError(f"device {name} is for one process; use --device cpu, or start without torchrun")
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=_TIMEOUT)
    processes = Processes(dist.get_rank(), dist.get_world_size())
    signal.signal(signal.SIGTERM, processes.stop_at_signal)
    return processes, device
