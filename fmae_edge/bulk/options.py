"""The options that `compress` and `decompress` share."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fmae_edge.bulk.destination import Destination
from fmae_edge.bulk.outputs import Outputs
from fmae_edge.bulk.sources import Source
from fmae_edge.bulk.usage import UsageError
from fmae_edge.runtime.bundle.manifest import Manifest
from fmae_edge.runtime.codec import Codec
from fmae_edge.runtime.engine.cpus import VARIABLE
from fmae_edge.runtime.engine.graphs import Precision
from fmae_edge.runtime.errors import InputError


@dataclass(frozen=True)
class FileOptions:
    """Options for the results, the codec and the run; `jobs` is the number of threads that read and write."""

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

        With `beside_files`, many files are read and written meanwhile, so the graphs get one thread. With two, a
        run on two CPUs took a fifth longer.
        """
        threads = 1 if beside_files and VARIABLE not in os.environ else None
        codec = Codec(self.bundle, precision=self.precision, threads=threads)
        gray_image_size(codec.manifest)
        return codec

    @property
    def suffix(self) -> str:
        """The suffix that the output asks for, or an empty string if it asks for none."""
        return "" if self.output is None else self.output.suffix

    def place(
        self, suffix: str, suffixes: Sequence[str], sources: Sequence[Source], joined: bool = False
    ) -> Outputs:
        """Return the outputs of `sources`. Raises UsageError as Outputs does, and for contradictory options."""
        if self.force and self.skip_existing:
            raise UsageError("--force overwrites existing files and --skip-existing keeps them; give only one")
        return Outputs(self.output, suffix, self.force, sources, joined, self.skip_existing, suffixes)


def gray_image_size(manifest: Manifest) -> tuple[int, int]:
    """Return (height, width) of a bundle's images. Raises InputError if they are not grayscale."""
    if manifest.image_channels != 1:
        raise InputError(
            f"bundle {manifest.name} is for images of {manifest.image_channels} channels; "
            "the command line handles only grayscale, use fmae_edge.Codec"
        )
    return manifest.image_height, manifest.image_width
