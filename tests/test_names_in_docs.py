"""Files, folders and Python names that the pages mention exist."""

import importlib
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

FILES = subprocess.run(
    ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True
).stdout.splitlines()
FOLDERS = sorted({file.split("/")[0] for file in FILES if "/" in file})
PAGES = [file for file in FILES if re.fullmatch(r"README\.md|CONTRIBUTING\.md|(docs|spec|examples)/.+\.md", file)]
NAMED_PATH = re.compile(
    rf"(?<![\w./*-])(?:(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./*-]*[\w*/]|[\w./-]*\w\.py)\b"
)


def missing_paths(text):
    """Return the paths in a page that do not exist.

    A path starts with a folder of the repository or ends in .py. Python files may be given with their last folders
    only. Programs that the page itself writes are left out.
    """
    text = re.sub(r"https?://\S+", "", text)
    own = set(re.findall(r"cat > (\S+)", text))
    named = (re.sub(r"^(\.\.?/)+", "", path) for path in NAMED_PATH.findall(text))
    return [path for path in named if path not in own and not exists(path)]


def exists(path):
    if path.endswith(".py") and any(f"/{file}".endswith(f"/{path}") for file in FILES):
        return True
    return any(REPOSITORY.glob(path.rstrip("/")))


def resolve(name):
    """Return the object that a dotted name stands for. Raises AttributeError or ImportError if there is none.

    Returns None for a module that needs a package of a cluster, which only make ray and make spark install.
    """
    found = importlib.import_module("fmae_edge")
    for position, part in enumerate(name.split(".")[1:], 2):
        if not hasattr(found, part):
            try:
                importlib.import_module(".".join(name.split(".")[:position]))
            except ModuleNotFoundError as error:
                if error.name in ("ray", "py4j"):
                    return None
                raise
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("page", PAGES)
def test_paths_in_pages_exist(page):
    assert missing_paths(Path(REPOSITORY / page).read_text()) == []


def described_names(text):
    """Yield (file, name) for each name in a table row about a Python file, and for each "`name` in `file`"."""
    for file, cells in re.findall(r"^\| `([\w/]+\.py)` \| (.+) \|$", text, flags=re.M):
        for name in re.findall(r"`([A-Za-z_][\w.]*)`", cells):
            yield file, name.rpartition(".")[2]
    for name, file in re.findall(r"`(\w+)` in `([\w/]+\.py)`", text):
        yield file, name


@pytest.mark.parametrize("page", ["docs/design.md", "docs/fast-graphs.md"])
def test_files_contain_the_names_that_pages_describe(page):
    described = list(described_names(Path(REPOSITORY / page).read_text()))
    assert len(described) > 4
    for file, name in described:
        (path,) = [tracked for tracked in FILES if f"/{tracked}".endswith(f"/{file}")]
        assert re.search(rf"\b{name}\b", Path(REPOSITORY / path).read_text()), f"{file}: {name}"


@pytest.mark.parametrize("page", PAGES)
def test_python_names_in_pages_exist(page):
    for name in re.findall(r"`(fmae_edge(?:\.\w+)+)", Path(REPOSITORY / page).read_text()):
        if not name.endswith(".py"):
            resolve(name)


def test_missing_paths_are_found():
    text = "`runtime/codec.py`, codec.py, `python benchmarks/none.py`, [x](docs/none.md), `samples/*.png`, `docs/`"
    assert missing_paths(text) == ["benchmarks/none.py", "docs/none.md"]
    assert missing_paths("cat > embed.py\npython embed.py\nhttps://example.com/docs/none.py, runs/none") == []
    with pytest.raises(ImportError):
        resolve("fmae_edge.runtime.nothing")
