"""The folder of the user for files that can be downloaded or read again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return `$XDG_CACHE_HOME/fmae-edge`, by default ~/.cache/fmae-edge. It may not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fmae-edge"
