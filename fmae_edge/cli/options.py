"""What the commands that convert files were told, once and for both directions."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fmae_edge.cli.destination import Destination
from fmae_edge.cli.files import Source
from fmae_edge.cli.outputs import Outputs
from fmae_edge.cli.usage import UsageError
from fmae_edge.runtime.codec import Codec
from fmae_edge.runtime.cpus import VARIABLE
from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.graphs import Precision
from fmae_edge.runtime.manifest import Manifest


@dataclass(frozen=True)
class FileOptions:
    """Where results go, which codec makes them, and how; `jobs` is how many threads read and write."""

    output: Destination | None = None
    precision: Precision = "int8"
    bundle: Path | None = None
    recursive: bool = False
    force: bool = False
    skip_existing: bool = False
    dry_run: bool = False
    jobs: int = 1
    json: bool = False
    keep_going: bool = False

    def open_codec(self, beside_files: bool = False) -> Codec:
        """Return the codec. Raises BundleError, and InputError if its images are not grayscale.

        `beside_files`: many are read and written meanwhile, which leaves one thread for the graphs. With two on
        two CPUs all took a fifth longer.
        """
        threads = 1 if beside_files and VARIABLE not in os.environ else None
        codec = Codec(self.bundle, precision=self.precision, threads=threads)
        gray_image_size(codec.manifest)
        return codec

    @property
    def suffix(self) -> str:
        """What the name of a result is to end in by the output, or nothing if that says nothing of it."""
        return "" if self.output is None else self.output.suffix

    def place(
        self, suffix: str, suffixes: Sequence[str], sources: Sequence[Source], joined: bool = False
    ) -> Outputs:
        """Return where the results of `sources` go. Raises UsageError as Outputs does, and for a contradiction."""
        if self.force and self.skip_existing:
            raise UsageError("--force overwrites what exists and --skip-existing leaves it: give one of them")
        return Outputs(self.output, suffix, self.force, sources, joined, self.skip_existing, suffixes)


def gray_image_size(manifest: Manifest) -> tuple[int, int]:
    """Return (height, width) of a bundle's images. Raises InputError if they are not grayscale."""
    if manifest.image_channels != 1:
        raise InputError(
            f"bundle {manifest.name} is for images of {manifest.image_channels} channels; "
            "the command line handles grayscale, use fmae_edge.Codec"
        )
    return manifest.image_height, manifest.image_width
