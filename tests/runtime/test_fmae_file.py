"""The .fmae container: every byte is guarded, every kind of damage has its own sentence."""

import contextlib
import time
import tracemalloc
from binascii import crc_hqx
from collections import deque
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmae_edge import InputError
from fmae_edge.runtime.file_names import as_names
from fmae_edge.runtime.fmae_file import pack_many, pack_one, unpack

BUNDLE, OTHER = "0123456789abcdef", "1123456789abcdef"
PAYLOADS = st.lists(st.binary(max_size=300), max_size=40)
NAMES = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="/\\"), min_size=1, max_size=40)


def parts(file):
    return file.quality, list(file.payloads), file.names, file.single


@given(st.binary(max_size=300), st.integers(1, 9))
def test_one_payload_comes_back_with_7_bytes_around_it(payload, quality):
    content = pack_one(payload, quality, BUNDLE)
    assert len(content) == len(payload) + 7
    assert parts(unpack(content, BUNDLE)) == (quality, [payload], None, True)


@given(PAYLOADS, st.integers(1, 9))
def test_many_payloads_come_back(payloads, quality):
    content = pack_many(payloads, quality, BUNDLE)
    assert parts(unpack(content, BUNDLE)) == (quality, payloads, None, False)


@given(PAYLOADS.filter(bool), st.data())
def test_payloads_are_taken_as_from_a_tuple(payloads, data):
    file, expected = unpack(pack_many(payloads, 5, BUNDLE), BUNDLE), tuple(payloads)
    part = data.draw(st.slices(len(payloads)))
    assert file.payloads[part] == expected[part]
    number = data.draw(st.integers(-len(payloads), len(payloads) - 1))
    assert file.payloads[number] == expected[number]
    assert file.payloads.longest == max(map(len, payloads))


def test_no_memory_is_taken_for_images_that_a_file_has_no_bytes_for():
    claim = (
        bytes([0xFA, 0xE1, 0x80 | 5]) + bytes.fromhex(BUNDLE)[:4] + bytes(6) + b"\x80\x80\x40\x01\x00" + bytes(9)
    )
    tracemalloc.start()
    with pytest.raises(InputError, match="truncated or corrupted within its header"):
        unpack(claim, BUNDLE)
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


@pytest.mark.parametrize("count", [100_000, 524_288])
def test_lengths_come_back_over_many_pieces_of_the_header(count):
    payloads = [b"x" * length for length in np.random.default_rng(0).geometric(0.1, count).tolist()]
    assert list(unpack(pack_many(payloads, 5, BUNDLE), BUNDLE).payloads) == payloads


@given(st.lists(NAMES.filter(lambda name: name not in (".", "..")), unique=True, max_size=10))
def test_names_come_back(names):
    payloads = [name.encode() for name in names]
    assert unpack(pack_many(payloads, 3, BUNDLE, names), BUNDLE).names == tuple(names)


@pytest.mark.parametrize(
    "names",
    [
        ["a"],
        ["a", "a"],
        ["a", ""],
        ["a", ".."],
        ["a", "b/c"],
        ["a", "b\0c"],
        ["a", "x" * 201],
        ["a", "\x1b[31m"],
        ["a", "\ud800"],
        ["a", 5],
        "ab",
        5,
        iter("ab"),
        {"a": 1, "b": 2},
        {"a", "b"},
        np.array("ab"),
        b"ab",
    ],
)
def test_names_that_are_none_are_refused(names):
    with pytest.raises(InputError):
        as_names(names, 2)


def test_names_may_come_in_any_sequence():
    for names in (("a", "b"), np.array(["a", "b"]), deque(["a", "b"])):
        assert as_names(names, 2) == ["a", "b"]


def test_the_index_takes_less_than_a_byte_an_image():
    lengths = np.clip(np.random.default_rng(0).normal(16, 5, 1000), 1, None).astype(int)
    payloads = [bytes([1]) * length for length in [*lengths, 400]]  # one outlier does not widen the others'
    assert len(pack_many(payloads, 5, BUNDLE)) - sum(map(len, payloads)) < 0.8 * len(payloads)


@pytest.mark.parametrize(
    "content",
    [pack_one(b"some payload", 5, BUNDLE), pack_many([b"first", b"", b"third"], 5, BUNDLE, ["a", "b", "c"])],
    ids=["one", "many"],
)
def test_any_changed_missing_or_added_byte_is_noticed(content):
    for at in range(len(content)):
        for bit in range(8):
            with pytest.raises(InputError):
                unpack(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :], BUNDLE)
        for damaged in (
            content[:at],
            content[at + 1 :],
            content[:at] + content[at + 1 :],
            content[:at] + b"x" + content[at:],
        ):
            if damaged != content:
                with pytest.raises(InputError):
                    unpack(damaged, BUNDLE)


def flip(content, at):
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize(
    "pack", [lambda: pack_one(b"some payload", 5, BUNDLE), lambda: pack_many([b"first", b"second"], 5, BUNDLE)]
)
def test_each_kind_of_damage_has_its_own_sentence(pack):
    content = pack()
    for damaged, sentence in (
        (b"\x93NUMPY", "not a .fmae file"),
        (b"", "not a .fmae file"),
        (content[:1] + bytes([content[1] + 1]) + content[2:], "version 2 of the .fmae format"),
        (content[:5], "truncated within its header"),
        (content[:-1], "truncated"),
        (flip(content, len(content) - 1), "corrupted"),
    ):
        with pytest.raises(InputError, match=sentence):
            unpack(damaged, BUNDLE)
    with pytest.raises(InputError, match=r"made by the bundle whose id begins with 0123.* 1123456789abcdef"):
        unpack(content, OTHER)


def test_an_id_that_only_begins_alike_does_not_open_a_file():
    with pytest.raises(InputError, match="corrupted"):
        unpack(pack_one(b"some payload", 5, BUNDLE), BUNDLE[:4] + OTHER[4:].replace("4", "5"))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80))
def test_no_bytes_make_it_fail_otherwise(rest):
    for start in (
        b"",
        pack_one(b"", 5, BUNDLE)[:2],
        pack_many([], 5, BUNDLE)[:7],
        pack_many([], 5, BUNDLE, [])[:7],
    ):
        with contextlib.suppress(InputError):
            unpack(start + rest, BUNDLE)


def with_right_checks(kind, index, body):
    """A stack whose header says anything, with the check codes that it should have."""
    start = bytes([0xFA, 0xE1, kind]) + bytes.fromhex(BUNDLE)[:4]
    rest = crc32(body).to_bytes(4, "big") + index
    check = crc_hqx(bytes.fromhex(BUNDLE) + start + rest, 0).to_bytes(2, "big")
    return start + check + rest + body


@pytest.mark.parametrize(
    ("kind", "index", "body"),
    [
        (0x80 | 5, b"\x81\x80\x40" + b"\0\0" + b"\xff" * 140_000, b""),  # more images than a file may have
        (0x80 | 5, b"\x01" + b"\xff\xff\xff\xff\x0f" + b"\0\x80", b""),  # a payload of gigabytes
        (0x80 | 5, b"\x01\x00\x00" + b"\0" * 100_000 + b"\x80", b""),  # a length in unary without end
        (0x80 | 5, b"\x01\x01\x00\x80", b"ab"),  # a byte behind the payload
        (0x80 | 5, b"\x01\x01\x10\x80", b"a"),  # 16 low bits
        (0x80, b"\x01\x01\x00\x80", b"a"),  # quality 0
        (0x80 | 15, b"\x01\x01\x00\x80", b"a"),  # quality 15
        (0xC0 | 5, b"\x01\x01\x00\x80", b"a"),  # a reserved bit
        (0x90 | 5, b"\x01\x01\x00\x80" + b"\x05a/b/c", b"a"),  # a name that is a path
        (0x90 | 5, b"\x01\x01\x00\x80" + b"\x01\xff", b"a"),  # a name that is not UTF-8
    ],
)
def test_headers_with_right_check_codes_are_not_believed_either(kind, index, body):
    unpack(with_right_checks(0x80 | 5, b"\x01\x01\x00\x80", b"a"), BUNDLE)  # so written, it is one
    started = time.perf_counter()
    with pytest.raises(InputError, match="corrupted|names that are none"):
        unpack(with_right_checks(kind, index, body), BUNDLE)
    assert time.perf_counter() - started < 1


def test_counts_are_not_believed():
    content = bytearray(pack_many([b"a"], 5, BUNDLE))
    content[13:14] = b"\xff\xff\xff\xff\x0f"  # 4 thousand million images
    with pytest.raises(InputError, match="truncated or corrupted"):
        unpack(bytes(content), BUNDLE)
