"""Train from .fmae files: a PyTorch dataset that the workers of a DataLoader decode, and its throughput.

    pip install '.[train]'
    fmae-edge compress samples/*.png -o samples.fmae
    python examples/data_loader.py samples.fmae
    python examples/data_loader.py FOLDER --workers 4    # a folder of .fmae files, with one image or a stack each

Files are read and decoded when they are needed, so memory does not grow with the data set. One worker decodes all
images of a file in order. Only the order of files is random, so store the images in many files.
"""

import argparse
import multiprocessing
import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from fmae_edge import Codec, FmaeError, InputError

IMAGES_AHEAD = 256  # decoded in one call, which is several times faster than one call per image


class FmaeImages(IterableDataset[torch.Tensor]):
    """The images uint8 (height, width[, 3]) in .fmae files, with the files in another order each epoch.

    Every worker gets the codec by fork or by pickling, and loads its graphs at the first image. The loop over the
    DataLoader raises InputError for a file that cannot be decoded.
    """

    def __init__(self, paths: list[Path], codec: Codec) -> None:
        self._paths = paths
        self._codec = codec
        self._epoch = 0

    def __iter__(self) -> Iterator[torch.Tensor]:
        paths = self._paths_of_this_worker()
        reading = None

        def contents() -> Iterator[bytes]:
            nonlocal reading
            for reading in paths:
                yield reading.read_bytes()

        try:
            for image in self._codec.decompress_iter(contents(), batch_size=IMAGES_AHEAD):
                yield torch.from_numpy(image)
        except InputError as error:
            raise InputError(f"{reading}: {error}") from error

    def _paths_of_this_worker(self) -> list[Path]:
        """Return this worker's share of the files. All workers use the same order, which changes each epoch."""
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        # Workers that are restarted each epoch get another seed; persistent workers count epochs
        seed = worker.seed - worker.id if worker else torch.initial_seed()
        self._epoch += 1
        paths = random.Random(f"{seed} {self._epoch}").sample(self._paths, len(self._paths))
        return paths[number::workers]


def make_loader(
    path: Path, batch_size: int, workers: int, start_method: str | None = None
) -> DataLoader[torch.Tensor]:
    """Return batches (N, 28, 28) uint8 from a .fmae file, or from all .fmae files in a folder.

    The codec is that of the built-in bundle. For images of another kind and size, use Codec("bundle", ...).
    """
    paths = sorted(path.rglob("*.fmae")) if path.is_dir() else [path]
    # Workers run in parallel, so each uses one thread. Without workers, the codec uses all CPUs
    codec = Codec(threads=1 if workers else None)
    return DataLoader(
        FmaeImages(paths, codec),
        batch_size,
        num_workers=workers,
        multiprocessing_context=start_method if workers else None,
        persistent_workers=workers > 0,
    )


def main() -> None:
    """Print the images per second of two epochs. The first one includes the start of the workers."""
    parser = argparse.ArgumentParser(description="Measure how fast workers of a DataLoader decode .fmae files.")
    parser.add_argument("path", type=Path, help="a .fmae file, or a folder of .fmae files")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--start-method", choices=multiprocessing.get_all_start_methods())
    options = parser.parse_args()
    if not options.path.exists():
        parser.error(f"{options.path} does not exist")
    loader = make_loader(options.path, options.batch_size, options.workers, options.start_method)
    for epoch in (1, 2):
        started = time.perf_counter()
        images = sum(len(batch) for batch in loader)
        seconds = time.perf_counter() - started
        print(f"epoch {epoch}: {images} images in {seconds:.2f} s, {images / seconds:.0f} images per second")


if __name__ == "__main__":
    try:
        main()
    except (FmaeError, OSError) as error:
        raise SystemExit(str(error).splitlines()[-1]) from None  # a worker's message begins with its traceback
