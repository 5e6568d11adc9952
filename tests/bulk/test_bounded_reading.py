"""Inputs are read only as far as an image or a compressed file of their kind needs."""

import io
import os
import sys
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

from fmae_edge.bulk.decompress import _read
from fmae_edge.bulk.sources import STREAM, Source, read
from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.format.fmae_file import max_file_bytes
from fmae_edge.runtime.format.npy_file import dump_latents

START_BYTES = 1 << 16
LATENTS = np.zeros((1000, 64), np.float32)


class Endless(io.RawIOBase):
    """A stream that begins with some bytes, continues with zeros, and counts the bytes that are read."""

    def __init__(self, start):
        self._start, self.given = start, 0

    def readable(self):
        return True

    def readinto(self, buffer):
        part = self._start[self.given : self.given + len(buffer)].ljust(len(buffer), b"\0")
        buffer[:] = part
        self.given += len(part)
        return len(part)


@pytest.fixture
def endless(monkeypatch):
    def start(content):
        stream = Endless(content)
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BufferedReader(stream)))
        return stream

    return start


@pytest.mark.parametrize("most", [5, 100_000, 3_000_000])
def test_an_endless_stream_is_read_up_to_the_limit(endless, most):
    stream = endless(b"x")
    with pytest.raises(InputError, match=f"-: is larger than the limit of {most} bytes"):
        read(Source(STREAM), most)
    assert stream.given <= max(most, START_BYTES) + START_BYTES


@pytest.mark.parametrize(
    ("start", "needed", "sentence"),
    [
        (b"", 0, "-: neither a .fmae nor a .npy file"),
        (b"\x93NUMPY\1\0\x10\0garbage", 0, "-: not a .npy file of latents: its header is missing or damaged"),
        (dump_latents(LATENTS), 256_128, "-: is larger than the limit of 256128 bytes"),
        (dump_latents(LATENTS.astype(np.int8)), 64_128, "-: is larger than the limit of 65536 bytes"),
        (bytes.fromhex("fae105"), 65_542, "-: is larger than the limit of 65542 bytes"),
    ],
)
def test_decompress_reads_no_more_than_the_header_allows(endless, start, needed, sentence):
    stream = endless(start)
    with pytest.raises(InputError, match=sentence):
        _read(Source(STREAM))
    assert stream.given <= max(needed, START_BYTES) + START_BYTES


@pytest.mark.parametrize(("start", "most"), [("fae105", 65_542), ("fae185", 1 << 30), ("fae285", 1 << 30)])
def test_a_fmae_file_has_a_maximum_size(start, most):
    assert max_file_bytes(bytes.fromhex(start)) == most


def test_a_header_that_claims_a_huge_array_takes_no_memory(endless, monkeypatch):
    content = dump_latents(np.zeros((5, 64), np.float32)).replace(
        b"(5, 64), }" + b" " * 12, b"(5000000000000, 64), }"
    )
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    assert _read(Source(STREAM)) == content  # load_latents reports that it is truncated


def test_a_file_that_grows_while_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "a.npy"
    path.write_bytes(bytes(200_000))
    monkeypatch.setattr("fmae_edge.bulk.sources._require_size", lambda *_: None)
    with pytest.raises(InputError, match="is larger than the limit of 100000 bytes"):
        read(Source(path), 100_000)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "a.fmae")
    with pytest.raises(InputError, match="a.fmae: is not a regular file; - reads standard input"):
        _read(Source(tmp_path / "a.fmae"))


def test_a_file_that_is_too_large_for_its_start_is_not_read(tmp_path):
    path = tmp_path / "a.fmae"
    with path.open("wb") as file:
        file.write(bytes.fromhex("fae185"))
        file.truncate((1 << 30) + 1)
    tracemalloc.start()
    try:
        with pytest.raises(
            InputError, match="a.fmae: has 1073741825 bytes, more than the limit of 1073741824 bytes"
        ):
            _read(Source(path))
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()


def test_the_content_is_in_memory_once(tmp_path):
    path = tmp_path / "a.fmae"
    content = bytes(range(256)) * 200_000
    path.write_bytes(content)
    tracemalloc.start()
    try:
        assert read(Source(path), lambda _: 1 << 30) == content
        assert tracemalloc.get_traced_memory()[1] < 1.25 * len(content)
    finally:
        tracemalloc.stop()
