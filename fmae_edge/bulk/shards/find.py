"""Find the shards of a job: Parquet files, WebDataset tar files, or groups of single files."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fmae_edge.bulk.sources import file_bytes
from fmae_edge.runtime.arguments import slices
from fmae_edge.runtime.errors import InputError

Kind = Literal["parquet", "webdataset", "files"]
SUFFIX_OF: dict[Kind, str] = {"parquet": ".parquet", "webdataset": ".tar", "files": ""}
FILES_PER_SHARD = 1000
_DESCRIBED: dict[Kind, str] = {"parquet": "Parquet files", "webdataset": "tar files", "files": "single images"}


@dataclass(frozen=True)
class Shard:
    """Rows that are converted together: one file, or a group of files of one row each.

    `name` is the path of its result below the output, without a suffix. `identity` changes with its content: it
    is the number of bytes, or for a group a hash of the names and numbers of bytes. `folder` is the input.
    """

    kind: Kind
    name: str
    paths: tuple[Path, ...]
    folder: Path
    identity: str

    def __str__(self) -> str:
        if self.kind != "files":
            return str(self.paths[0])
        return f"{self.folder}: {self.paths[0].relative_to(self.folder)} and {len(self.paths) - 1} more"


def find_shards(source: Path, suffixes: Sequence[str]) -> list[Shard]:
    """Return the shards in a folder and its subfolders, in the order of their paths, or the one that is a file.

    Single files are those that end in `suffixes`. Names that begin with `.` or `_` are passed over, as Spark and
    Hadoop do. Raises InputError if there are none, or shards of several kinds.
    """
    if not source.exists():
        raise InputError(f"{source}: no such file or folder")
    folder = source if source.is_dir() else source.parent
    found: dict[Kind, list[Path]] = {"parquet": [], "webdataset": [], "files": []}
    for path in _files_below(source) if source.is_dir() else [source]:
        name = path.name.lower()
        for kind, ends in (("parquet", (".parquet",)), ("webdataset", (".tar",)), ("files", tuple(suffixes))):
            if name.endswith(ends):
                found[kind].append(path)  # type: ignore[index]  # mypy does not see the three literals
    kinds = [kind for kind, paths in found.items() if paths]
    if not kinds:
        expected = ", ".join([".parquet", ".tar", *suffixes])
        raise InputError(f"{source}: contains no shards; their names end in one of {expected}")
    if len(kinds) > 1:
        described = " and ".join(_DESCRIBED[kind] for kind in kinds)
        raise InputError(f"{source}: contains {described}; give a folder with one kind of shards")
    (kind,) = kinds
    paths = found[kind]
    if kind == "files":
        return [
            _group(number, paths[part], folder) for number, part in enumerate(slices(len(paths), FILES_PER_SHARD))
        ]
    return [
        Shard(
            kind,
            path.relative_to(folder).with_suffix("").as_posix(),
            (path,),
            folder,
            f"{file_bytes(path)} bytes",
        )
        for path in paths
    ]


def _group(number: int, paths: Sequence[Path], folder: Path) -> Shard:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.relative_to(folder)}\0{file_bytes(path)}\0".encode(errors="surrogateescape"))
    return Shard("files", f"part-{number:06d}", tuple(paths), folder, digest.hexdigest()[:32])


def _files_below(folder: Path) -> list[Path]:
    found = []

    def unreadable(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror})")

    for inside, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        found += [Path(inside) / name for name in names if not name.startswith((".", "_"))]
    return sorted(found)
