"""Run the JavaScript package in Node, on the values of a test."""

import base64
import json
import shutil
import subprocess

import numpy as np
import pytest

from tests.conftest import REPOSITORY

JS = REPOSITORY / "js"
needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (JS / "node_modules").is_dir(), reason="needs Node and `npm ci` in js/"
)


def run_node(script, given):
    """Return the standard output of a script in js/tests for the text `given`."""
    done = subprocess.run(
        ["node", JS / "tests" / script], input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def call_codec(bundle, *calls, precision="int8"):
    """Return the result of each call of a codec: (method, *arguments). An error is a str, its name and message."""
    given = json.dumps({"bundle": str(bundle), "precision": precision, "calls": calls}, default=_to_json)
    answers = json.loads(run_node("codec_calls.js", given), object_hook=_from_json)
    return [each["result"] if "result" in each else f"{each['error']}: {each['message']}" for each in answers]


class Image:
    """A gray or RGB array, which JavaScript gets as an object with its size and channels."""

    def __init__(self, array):
        self.array = array


def _to_json(value):
    if isinstance(value, Image):
        height, width, channels = np.atleast_3d(value.array).shape
        return {"width": width, "height": height, "channels": channels, "data": value.array.tobytes()}
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if value.dtype == np.float32:
        return {"floats": base64.b64encode(value.tobytes()).decode()}
    return {"integers": value.tolist()}


def _from_json(value):
    """Return what JavaScript's objects stand for: an image is an array as in Python."""
    if value.keys() == {"bytes"}:
        return base64.b64decode(value["bytes"])
    if value.keys() == {"floats"}:
        return np.frombuffer(base64.b64decode(value["floats"]), np.float32)
    if value.keys() == {"integers"}:
        return np.array(value["integers"], np.int64)
    if value.keys() == {"width", "height", "channels", "data"}:
        pixels = np.frombuffer(value["data"], np.uint8)
        shape = (value["height"], value["width"], value["channels"])
        return pixels.reshape(shape[:2] if shape[2] == 1 else shape)
    return value
