"""Compress a folder of images to .fmae files, one per image, on all CPUs. A second run continues a stopped one.

    pip install '.[cli]'
    python examples/batch_job.py samples compressed --quality 7
    python examples/batch_job.py IMAGES OUT --bundle FOLDER    # for images of another kind, gray or RGB

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
from functools import partial
from pathlib import Path

from fmae_edge import Codec, FmaeError
from fmae_edge.bulk.image_input import read_image
from fmae_edge.bulk.run import Outcome, settle
from fmae_edge.bulk.sources import Source, expand
from fmae_edge.data.image_conversion import Fit
from fmae_edge.data.image_limits import SUFFIXES
from fmae_edge.runtime.atomic_write import write_file

IMAGES_AT_ONCE = 64  # per task: one call for 64 images takes a fraction of the time of 64 calls
Job = tuple[Source, Path]  # an image and its output file

codec: Codec  # one per process of the pool


def start_process(codec_of_job: Codec) -> None:
    """Keep the codec: it is pickled and loads its graphs once per process, not once per task."""
    global codec
    codec = codec_of_job


def compress_images(jobs: list[Job], quality: int, fit: Fit | None = None) -> list[str]:
    """Compress images in one call, and return one sentence per failed image."""
    images, read, failures = [], [], []
    for source, output in jobs:
        result = settle(source, partial(read_image, source, codec, fit))
        if isinstance(result, Outcome):
            failures.append(str(result.error))
        else:
            images.append(result[0])
            read.append((source, output))
    for (source, output), content in zip(read, codec.compress_iter(images, quality), strict=True):
        failed = settle(source, partial(write, output, content))
        if failed is not None:
            failures.append(str(failed.error))
    return failures


def write(output: Path, content: bytes) -> None:
    """Create the folders of a file and write it; a killed process leaves no partial file."""
    output.parent.mkdir(parents=True, exist_ok=True)
    write_file(output, content)


def run(jobs: list[Job], codec: Codec, quality: int, fit: Fit | None, processes: int) -> int:
    """Compress with `codec` in `processes` processes, print the failures, and return their number."""
    tasks = [jobs[at : at + IMAGES_AT_ONCE] for at in range(0, len(jobs), IMAGES_AT_ONCE)]
    context = multiprocessing.get_context("spawn")  # works on every system
    failed = 0
    with ProcessPoolExecutor(processes, context, start_process, (codec,)) as pool:
        # A terminal sends Ctrl-C to all processes; the processes of the pool inherit the setting to ignore it
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        futures = [pool.submit(compress_images, task, quality, fit) for task in tasks]
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
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--quality", type=int, choices=range(1, 10), default=5)
    parser.add_argument("--fit", choices=["resize", "crop", "pad"])
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    if not options.images.is_dir():
        parser.error(f"{options.images} is not a folder")
    if options.processes < 1:
        parser.error(f"--processes is {options.processes}; expected 1 or more")
    try:
        codec = Codec(options.bundle, threads=1)
    except FmaeError as error:
        parser.error(str(error))
    sources, _ = expand([options.images], recursive=True, suffixes=SUFFIXES)
    all_jobs = [(source, options.out / source.below / f"{source.path.name}.fmae") for source in sources]
    jobs = [(source, output) for source, output in all_jobs if not output.exists()]
    failed = run(jobs, codec, options.quality, options.fit, options.processes)
    print(f"{len(jobs) - failed} compressed, {len(sources) - len(jobs)} already there, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted; run the same command again to continue", file=sys.stderr)
        sys.exit(130)
    except BrokenProcessPool:
        sys.exit("a process was killed; run the same command again to continue")
