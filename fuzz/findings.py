"""Inputs on which a reader failed: one file per input, named after the kind of failure."""

import hashlib
from pathlib import Path

# error: it raised an error other than FmaeError. slow, memory: it exceeded a limit. killed: the watcher killed it
# for its time or memory. crash: the process ended.
KINDS = ("error", "slow", "memory", "killed", "crash")
_MOST_OF_A_KIND = 20  # more would show nothing new


def find(folder: Path) -> list[Path]:
    """Return the findings in `folder`."""
    return sorted(path for kind in KINDS for path in folder.glob(f"{kind}-*"))


def known_inputs(folder: Path) -> set[bytes]:
    """Return the inputs that are known to fail."""
    return {path.read_bytes() for path in find(folder)}


def save_finding(folder: Path, kind: str, content: bytes, place: str = "") -> Path | None:
    """Save an input. Return None if there is one for this `place` in the code, or enough of this kind."""
    digest = hashlib.sha256(place.encode() or content).hexdigest()[:16]
    path = folder / f"{kind}-{digest}"
    if path.exists() or len(list(folder.glob(f"{kind}-*"))) >= _MOST_OF_A_KIND:
        return None
    path.write_bytes(content)
    return path


def use_as_seeds(folder: Path, small_bytes: int) -> None:
    """Move the findings of an earlier run to its corpus, so that inputs that still fail are found immediately.

    Inputs of more than `small_bytes` that did not fail leave the corpus, because they slow down each start.
    """
    for path in (folder / "corpus").iterdir():
        if path.stat().st_size > small_bytes:
            path.unlink()
    for path in find(folder):
        path.replace(folder / "corpus" / path.name)
