"""Read a bundle: every file into memory, checked against its hash, before anything is given to onnxruntime."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from fmae_edge.runtime.errors import BundleError
from fmae_edge.runtime.external_data import refuses_external_data
from fmae_edge.runtime.manifest import MANIFEST_NAME, FileEntry, Manifest

DEFAULT_BUNDLE = Path(__file__).parent.parent / "bundles" / "default"
_MAX_MANIFEST_BYTES = 4 << 20


@dataclass(frozen=True)
class Bundle:
    """A bundle in memory: its manifest and the bytes of the files that were asked for."""

    path: Path
    manifest: Manifest
    files: dict[str, bytes]


def read_bundle(path: Path, only: Collection[str] | None = None) -> Bundle:
    """Read the bundle in folder `path` and check each of its files, or those whose names are in `only`.

    Raises BundleError if a file is missing, has another size or hash than the manifest says, or keeps
    tensors outside itself.
    """
    if not path.is_dir():
        raise BundleError(f"{path}: no such bundle folder")
    manifest = Manifest.from_json(_read(path, MANIFEST_NAME, limit=_MAX_MANIFEST_BYTES), str(path))
    wanted = manifest.files if only is None else only
    files = {name: read_checked(path, name, manifest.files[name]) for name in wanted}
    return Bundle(path, manifest, files)


def read_checked(path: Path, name: str, entry: FileEntry) -> bytes:
    """Return the file `name` of the bundle in folder `path`, which the manifest has as `entry`.

    Raises BundleError as `read_bundle` does.
    """
    content = _read(path, name, limit=entry.size)
    if FileEntry.of(content) != entry:
        raise BundleError(
            f"{path}: {name} does not match the SHA-256 in the manifest, so it was altered or damaged: "
            "export the bundle again or get a fresh copy"
        )
    if name.endswith(".onnx"):
        refuses_external_data(content, f"{path}: {name}")
    return content


def _read(path: Path, name: str, limit: int) -> bytes:
    """Read at most `limit` bytes and one more: enough to see that a file is longer than it should be."""
    try:
        if (path / name).exists() and not (path / name).is_file():
            raise BundleError(f"{path}: {name} is no regular file")
        with (path / name).open("rb") as file:
            return file.read(limit + 1)
    except FileNotFoundError:
        raise BundleError(f"{path}: {name} is missing, so this is not a whole bundle") from None
    except OSError as error:
        raise BundleError(f"{path}: {name} cannot be read ({error.strerror})") from None
