"""Compress a folder of images to .fmae files, one per image, on all CPUs. A second run does the rest.

    pip install '.[cli]'
    python examples/batch_job.py samples compressed --quality 7

IMAGES/a/b.png becomes OUT/a/b.png.fmae. A file is written completely or not at all. Existing files are skipped. An
image that cannot be compressed is reported, and the others are still compressed. The exit code is 0 if all
succeeded, 1 if an image failed, 130 after Ctrl-C.
"""

import argparse
import multiprocessing
import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmae_edge import Codec, FmaeError
from fmae_edge.data.image_file import SUFFIXES, load_gray, max_image_bytes
from fmae_edge.runtime.atomic_write import write_file

IMAGES_AT_ONCE = 64  # per task: one call for 64 images takes a fraction of the time of 64 calls
Job = tuple[Path, Path]  # an image and its output file

codec: Codec  # one per process of the pool


def start_process(codec_of_job: Codec) -> None:
    """Keep the codec: it is pickled and loads its graphs once per process, not once per task."""
    global codec
    codec = codec_of_job


def compress_files(jobs: list[Job], quality: int) -> list[str]:
    """Compress images in one call, and return one sentence per failed image."""
    images, outputs, failures = [], [], []
    for path, output in jobs:
        try:
            images.append(read_gray(path))
            outputs.append((path, output))
        except FmaeError as error:
            failures.append(str(error))
        except OSError as error:
            failures.append(f"{path}: {error.strerror}")
    for (path, output), content in zip(outputs, codec.compress_iter(images, quality), strict=True):
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            write_file(output, content)  # a killed process leaves no partial file
        except (FmaeError, OSError) as error:
            failures.append(f"{path}: {error}")
    return failures


def read_gray(path: Path) -> NDArray[np.uint8]:
    """Return the pixels of an image file, converted to gray as the command line does."""
    size = (codec.manifest.image_height, codec.manifest.image_width)
    with path.open("rb") as file:
        content = file.read(max_image_bytes(size) + 1)  # load_gray refuses a longer file
    pixels, _ = load_gray(content, str(path), size)
    return pixels


def run(jobs: list[Job], quality: int, processes: int) -> int:
    """Compress in `processes` processes, print the failures, and return their number."""
    tasks = [jobs[at : at + IMAGES_AT_ONCE] for at in range(0, len(jobs), IMAGES_AT_ONCE)]
    context = multiprocessing.get_context("spawn")  # works on every system
    failed = 0
    with ProcessPoolExecutor(processes, context, start_process, (Codec(threads=1),)) as pool:
        # A terminal sends Ctrl-C to all processes; the processes started here inherit that it is ignored
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        futures = [pool.submit(compress_files, task, quality) for task in tasks]
        signal.signal(signal.SIGINT, handler)
        try:
            for future in as_completed(futures):
                for failure in future.result():
                    print(failure, file=sys.stderr)
                    failed += 1
        except BaseException:
            pool.shutdown(cancel_futures=True)  # waits for the tasks that have started
            raise
    return failed


def main() -> int:
    """Run the job and return the exit code."""
    parser = argparse.ArgumentParser(description="Compress a folder of images to .fmae files, one per image.")
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--quality", type=int, choices=range(1, 10), default=5)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    if not options.images.is_dir():
        parser.error(f"{options.images} is not a folder")
    if options.processes < 1:
        parser.error(f"--processes is {options.processes}; expected 1 or more")
    images = sorted(
        path for path in options.images.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    outputs = [options.out / path.relative_to(options.images).with_name(f"{path.name}.fmae") for path in images]
    jobs = [job for job in zip(images, outputs, strict=True) if not job[1].exists()]
    failed = run(jobs, options.quality, options.processes)
    print(f"{len(jobs) - failed} compressed, {len(images) - len(jobs)} already there, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        sys.exit(130)
    except BrokenProcessPool:
        sys.exit("a process was killed; run the same command again to go on")
