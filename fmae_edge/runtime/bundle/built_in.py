"""The built-in bundles, which come with the package and have names: "default", "detail".

A name means the built-in bundle, wherever the program runs. A folder of the same name in the current folder is
`./detail`, or a Path.
"""

import os
from contextlib import suppress
from functools import cache
from pathlib import Path

from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.bundle.manifest import MANIFEST_NAME
from fmae_edge.runtime.errors import BundleError, InputError, shown

_BUNDLES = DEFAULT_BUNDLE.parent


def built_in_names() -> tuple[str, ...]:
    """Return the names of the built-in bundles, that of the default bundle first."""
    names = {manifest.parent.name for manifest in _BUNDLES.glob(f"*/{MANIFEST_NAME}")}
    return tuple(sorted(names, key=lambda name: (name != DEFAULT_BUNDLE.name, name)))


def built_in_folder(name: str) -> Path:
    """Return the folder of the built-in bundle of that name, which must be one of `built_in_names`."""
    return _BUNDLES / name


def is_built_in(folder: Path) -> bool:
    """Return whether a folder is that of a built-in bundle."""
    return folder.resolve().parent == _BUNDLES.resolve()


def find_bundle(bundle: str) -> Path:
    """Return the folder of the built-in bundle of that name, else the path as it is.

    Raises BundleError, with the names, if `bundle` is a plain name of neither a built-in bundle nor a file.
    """
    if os.path.basename(bundle) == bundle:  # noqa: PTH119  # Path("./detail") is Path("detail")
        names = built_in_names()
        if bundle in names:
            return built_in_folder(bundle)
        if _is_missing(_absolute(Path(bundle))):
            raise BundleError(f"{bundle}: no such bundle folder; the built-in bundles are {' and '.join(names)}")
    return Path(bundle)


def _is_missing(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return True
    except (OSError, ValueError):  # the reader of the bundle says what is wrong with the path
        return False
    return False


def as_bundle_folder(bundle: object) -> Path:
    """Return the absolute path of a bundle's folder: a str may be a name, and None is the default bundle.

    Raises InputError if `bundle` is neither a str nor a path, BundleError as `find_bundle` does, or if the path is
    relative and the current folder is deleted.
    """
    if bundle is None:
        return DEFAULT_BUNDLE
    if isinstance(bundle, str):
        return _absolute(find_bundle(bundle))
    path = os.fspath(bundle) if isinstance(bundle, os.PathLike) else None
    if not isinstance(path, str):
        raise InputError(f"bundle is {shown(bundle)}; expected the path of a folder or the name of a bundle")
    return _absolute(Path(path))


def _absolute(path: Path) -> Path:
    try:
        return path.absolute()
    except OSError as error:
        raise BundleError(f"{path}: is relative, but the current folder was deleted ({error.strerror})") from None


def portable(folder: Path) -> str | Path:
    """Return a built-in bundle's name, which is the same on every machine, or the path of another folder."""
    return folder.name if folder.parent == _BUNDLES else folder


def name_of(id_start: str) -> str | None:
    """Return the name of the built-in bundle whose id begins like that, None if there is none."""
    return next((name for bundle_id, name in _names_by_id().items() if bundle_id.startswith(id_start)), None)


@cache  # asked about every file that another bundle made
def _names_by_id() -> dict[str, str]:
    names = {}
    for name in built_in_names():
        with suppress(BundleError):  # a damaged bundle must not hide what is wrong with a file
            names[read_bundle(built_in_folder(name), only=()).manifest.bundle_id] = name
    return names
