"""Read the results of a command: the files that it wrote and the records that it printed with --json."""

import json

import numpy as np
from PIL import Image


def found(folder):
    """Return the files below `folder`."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def records(done):
    """Return the JSON lines of a command, without the summary at their end."""
    return [record for record in map(json.loads, done.stdout.splitlines()) if "summary" not in record]


def summary(done):
    """Return the summary: the last JSON line of a command."""
    return json.loads(done.stdout.splitlines()[-1])["summary"]


def pixels(path):
    """Return the pixels of a grayscale image file."""
    with Image.open(path) as image:
        assert image.mode == "L"
        return np.asarray(image)
