"""Read a bundle into memory: each file is checked against its hash and its limits before onnxruntime sees it."""

import hashlib
import math
import os
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from fmae_edge.runtime.bundle.graph_check import check_graph, most_needs
from fmae_edge.runtime.bundle.manifest import (
    DECODER_NAME,
    GOLDEN_NAME,
    GRADIENT_NAME,
    GRAPH_NAMES,
    MANIFEST_NAME,
    PRIOR_NAME,
    FileEntry,
    Manifest,
)
from fmae_edge.runtime.errors import BundleError, InputError, shown

DEFAULT_BUNDLE = Path(__file__).parents[2] / "bundles" / "default"
# A file is not read if it is larger than images of the bundle's size justify
MAX_BUNDLE_BYTES = 256 << 20  # of all files
MAX_MANIFEST_BYTES = 2 << 20  # 65,536 latents take 1.6 MB
MAX_FILES = 16
_PRIOR_BYTES, _PRIOR_BYTES_PER_LATENT = 1 << 20, 1 << 12
_GOLDEN_IMAGES = 64  # export writes the vectors of 8
_OTHER_BYTES = 1 << 20  # of a file that this version does not know
_NAMES_BYTES = 1 << 20  # of a graph, for everything but its weights


@dataclass(frozen=True)
class Bundle:
    """A bundle in memory: its manifest and the bytes of its files, all checked.

    `path` is the folder it was read from, None if it was made in memory. `files` may contain only some of the
    files. `sha256` is the hash of manifest.json. This file lists the hashes of all others, so it identifies the
    complete bundle.
    """

    path: Path | None
    manifest: Manifest
    sha256: str
    files: Mapping[str, bytes]

    @classmethod
    def of(cls, manifest: Manifest, files: Mapping[str, bytes]) -> "Bundle":
        """Return a bundle of `files`, which are checked as `read_bundle` checks those of a folder.

        Raises BundleError if a file is missing, does not match its entry in the manifest, or is not allowed.
        """
        where = _where(None, manifest)
        content = manifest.to_json().encode()
        manifest = _parse_manifest(content, where)  # checked, and as a reader will get it
        _require_reasonable_sizes(manifest, where)
        for name in manifest.files:
            if name not in files:
                raise BundleError(f"{where}: {name} is missing")
            _check_file(files[name], name, manifest, where)
        bundle = cls(None, manifest, _sha256(content), {name: bytes(files[name]) for name in manifest.files})
        if bundle.has_gradient:
            bundle.gradient_graph()
        return bundle

    @property
    def where(self) -> str:
        """The bundle's folder, or its name if it has no folder. Messages about the bundle begin with it."""
        return _where(self.path, self.manifest)

    def file(self, name: str) -> bytes:
        """Return the bytes of a file; it is read from the folder if `files` does not contain it.

        Raises BundleError as `read_bundle` does.
        """
        if name in self.files or self.path is None:
            return self.files[name]
        return _read_checked(self.path, name, self.manifest)

    @property
    def has_gradient(self) -> bool:
        """Whether the bundle has the graph of the decoder's gradient, which a search by gradients needs."""
        return GRADIENT_NAME in self.manifest.files

    def gradient_graph(self) -> tuple[bytes, int]:
        """Return the checked graph of the decoder's gradient, with the weights of the float32 decoder.

        The second value is the number of numbers in all of its results for one image, which bounds its memory.
        Both files are read from the folder if `files` does not contain them. Raises BundleError as `read_bundle`
        does, and if the bundle has no such graph.
        """
        # Only a search needs this graph
        from fmae_edge.runtime.bundle.gradient_check import check_gradient, most_of_gradient, with_weights

        if not self.has_gradient:
            raise BundleError(f"{self.where}: has no {GRADIENT_NAME}; export the bundle again")
        manifest, where = self.manifest, f"{self.where}: {GRADIENT_NAME}"
        graph = with_weights(self.file(GRADIENT_NAME), self.file(DECODER_NAME), where)
        image = (manifest.image_channels, manifest.image_height, manifest.image_width)
        most = most_of_gradient(most_needs(math.prod(image), manifest.latent_size))
        return graph, check_gradient(graph, where, (manifest.latent_size,), image, most).values


def as_expected_id(expect_id: object) -> str | None:
    """Return the id of an expected bundle, or None. Raises InputError if it is not a str."""
    if expect_id is None or isinstance(expect_id, str):
        return expect_id
    raise InputError(f"expect_id is {shown(expect_id)}; expected a bundle id, or the SHA-256 of manifest.json")


def read_bundle(
    folder: str | os.PathLike[str], only: Collection[str] | None = None, expect_id: str | None = None
) -> Bundle:
    """Read the bundle in `folder` and check all of its files, or those whose names are in `only`.

    `expect_id` is the bundle id, which covers everything that affects decoding, or the SHA-256 of manifest.json.

    Raises BundleError if a file is missing, does not match the manifest, is larger or needs more resources than
    images of this size justify, or if the bundle is not that of `expect_id`.
    """
    path = Path(folder)
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)  # from 3.14 on, is_dir() hides every error
    except (FileNotFoundError, NotADirectoryError):
        is_folder = False
    except OSError as error:  # a name that is too long, a parent folder without permission
        raise BundleError(f"{path}: cannot be read ({error.strerror})") from None
    if not is_folder:
        is_file = os.path.lexists(path)
        raise BundleError(f"{path}: {'is a file, not a bundle folder' if is_file else 'no such bundle folder'}")
    content = _read(path, MANIFEST_NAME, MAX_MANIFEST_BYTES)
    sha256 = _sha256(content)
    manifest = _parse_manifest(content, str(path))
    if expect_id is not None and expect_id not in (manifest.bundle_id, sha256):
        raise BundleError(
            f"{path}: expected bundle {shown(expect_id)}, "
            f"but its id is {manifest.bundle_id} and the SHA-256 of its manifest {sha256}"
        )
    _require_reasonable_sizes(manifest, str(path))
    wanted = manifest.files if only is None else only
    bundle = Bundle(path, manifest, sha256, {name: _read_checked(path, name, manifest) for name in wanted})
    if GRADIENT_NAME in bundle.files:
        bundle.gradient_graph()
    return bundle


def _where(path: Path | None, manifest: Manifest) -> str:
    return f"bundle {shown(manifest.name)}" if path is None else str(path)


def _parse_manifest(content: bytes, where: str) -> Manifest:
    if len(content) > MAX_MANIFEST_BYTES:
        raise BundleError(f"{where}: {MANIFEST_NAME} has more than {MAX_MANIFEST_BYTES} bytes")
    return Manifest.from_json(content, where)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read_checked(path: Path, name: str, manifest: Manifest) -> bytes:
    content = _read(path, name, manifest.files[name].size)
    _check_file(content, name, manifest, str(path))
    return content


def _check_file(content: bytes, name: str, manifest: Manifest, where: str) -> None:
    """Raise BundleError unless a file matches the manifest and, if it is a graph, onnxruntime may load it."""
    if FileEntry.of(content) != manifest.files[name]:
        raise BundleError(
            f"{where}: {name} does not match the SHA-256 in the manifest, so it was altered or damaged: "
            "export the bundle again or get a fresh copy"
        )
    if name in GRAPH_NAMES:
        image = ("image", (manifest.image_channels, manifest.image_height, manifest.image_width))
        latent = ("latent", (manifest.latent_size,))
        takes, gives = (image, latent) if name.startswith("encoder") else (latent, image)
        most = most_needs(math.prod(manifest.image_shape), manifest.latent_size)
        check_graph(content, f"{where}: {name}", takes, gives, most)


def _require_reasonable_sizes(manifest: Manifest, where: str) -> None:
    """Raise BundleError if the bundle has too many files, or larger ones than images of its size justify."""
    if len(manifest.files) > MAX_FILES:
        raise BundleError(f"{where}: has {len(manifest.files)} files; a bundle may have at most {MAX_FILES}")
    for name, entry in manifest.files.items():
        most = most_bytes(name, math.prod(manifest.image_shape), manifest.latent_size)
        if entry.size > most:
            raise BundleError(
                f"{where}: {name} has {entry.size} bytes, more than the {most} allowed for images of this size"
            )
    total = sum(entry.size for entry in manifest.files.values())
    if total > MAX_BUNDLE_BYTES:
        raise BundleError(f"{where}: its files have {total} bytes; a bundle may have at most {MAX_BUNDLE_BYTES}")


def most_bytes(name: str, pixels: int, latents: int) -> int:
    """Return the largest size in bytes of the file of that name in a bundle."""
    if name in GRAPH_NAMES:
        return 4 * most_needs(pixels, latents).weights + _NAMES_BYTES
    if name == PRIOR_NAME:
        return _PRIOR_BYTES + _PRIOR_BYTES_PER_LATENT * latents
    if name == GOLDEN_NAME:
        return _OTHER_BYTES + _GOLDEN_IMAGES * (3 * pixels + 16 * latents)
    return _OTHER_BYTES


def _read(path: Path, name: str, limit: int) -> bytes:
    """Read at most `limit` bytes and one more, enough to notice that a file is longer."""
    try:
        file_path = path / name
        if not stat.S_ISREG(file_path.stat().st_mode):
            raise BundleError(f"{path}: {name} is not a regular file")
        with file_path.open("rb") as file:
            # Not more than the file has: `read` allocates the requested number of bytes before it reads
            return file.read(min(limit, os.fstat(file.fileno()).st_size) + 1)
    except FileNotFoundError:
        raise BundleError(f"{path}: {name} is missing, so the bundle is incomplete") from None
    except OSError as error:
        raise BundleError(f"{path}: {name} cannot be read ({error.strerror})") from None
