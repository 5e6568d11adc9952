"""Collect the files of a static web page that codes images with a bundle, and write them to a folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fmae_edge.runtime.atomic_folder import new_folder
from fmae_edge.runtime.bundle.bundle import read_bundle
from fmae_edge.runtime.bundle.manifest import GOLDEN_NAME, MANIFEST_NAME, PRIOR_NAME, Manifest
from fmae_edge.runtime.errors import BundleError

INDEX = "index.html"
# The other files of a site lie in these two folders, where the page looks for them
_SCRIPTS, _BUNDLE = "js", "bundle"
_SCRIPT_FOLDERS = ("bundle", "engine", "entropy", "format", "page")
_SUFFIXES = (".js", ".css")
_GRAPHS = ("encoder.onnx", "decoder.onnx")  # the page runs the int8 graphs, as the command line does


@dataclass(frozen=True)
class Site:
    """A page of the bundle with `manifest`: the content of each file by its path, which has forward slashes."""

    manifest: Manifest
    files: Mapping[str, bytes]


def build_site(bundle: Path) -> Site:
    """Return the page of the bundle in a folder: index.html, the scripts, and the files that they read.

    Raises BundleError if a file of the bundle is damaged, or if it cannot make .fmae files.
    """
    manifest = read_bundle(bundle, only=()).manifest
    if manifest.qualities is None:
        raise BundleError(f"{bundle}: has no {PRIOR_NAME}, so a page cannot make .fmae files with it")
    # The golden vectors have images, which the page shows as examples
    wanted = [name for name in (*_GRAPHS, PRIOR_NAME, GOLDEN_NAME) if name in manifest.files]
    read = read_bundle(bundle, only=wanted)
    files = {MANIFEST_NAME: read.manifest.to_json().encode(), **read.files}
    return Site(read.manifest, {**_scripts(), **{f"{_BUNDLE}/{name}": content for name, content in files.items()}})


def write_site(site: Site, target: Path, force: bool = False) -> None:
    """Write a page to folder `target`, completely or not at all.

    Raises OutputError if `target` exists, unless `force` is set and it is a page, or if it cannot be written.
    """
    with new_folder(target, force, "a page", _is_only_a_page) as folder:
        folder.mkdir()
        for name, content in site.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _is_only_a_page(folder: Path) -> bool:
    """Return whether `folder` has what `write_site` writes, and nothing next to it."""
    if not (folder / _SCRIPTS / "page" / "page.js").is_file():
        return False
    return {path.name for path in folder.iterdir()} <= {INDEX, _SCRIPTS, _BUNDLE}


def _scripts() -> dict[str, bytes]:
    """Return index.html, and the scripts and styles that it loads."""
    root = _script_folder()
    paths = [*root.glob("*.js"), *(path for folder in _SCRIPT_FOLDERS for path in (root / folder).rglob("*"))]
    files = {
        f"{_SCRIPTS}/{path.relative_to(root).as_posix()}": path.read_bytes()
        for path in sorted(paths)
        if path.suffix in _SUFFIXES
    }
    return {INDEX: (root / "page" / INDEX).read_bytes(), **files}


def _script_folder() -> Path:
    """Return the folder of the JavaScript modules: in the package, or in a clone next to it."""
    package = Path(__file__).parents[1]
    packaged = package / "js"
    return packaged if packaged.is_dir() else package.parent / "js"
