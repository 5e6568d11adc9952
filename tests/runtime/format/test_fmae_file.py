"""The .fmae format: check codes cover every byte, and every kind of damage has its own message."""

import contextlib
import time
import tracemalloc
from binascii import crc_hqx
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmae_edge import InputError
from fmae_edge.runtime.format.fmae_file import max_file_bytes, pack_many, pack_one, unpack

BUNDLE, OTHER = "0123456789abcdef", "1123456789abcdef"
PAYLOADS = st.lists(st.binary(max_size=300), max_size=40)


def parts(file):
    return file.version, file.quality, list(file.payloads), file.names, file.single


@given(st.binary(max_size=300), st.integers(1, 9))
def test_one_payload_comes_back_with_7_bytes_around_it(payload, quality):
    content = pack_one(payload, quality, BUNDLE)
    assert len(content) == len(payload) + 7
    assert parts(unpack(content, BUNDLE)) == (1, quality, [payload], None, True)


@given(PAYLOADS, st.integers(1, 9))
def test_many_payloads_come_back(payloads, quality):
    content = pack_many(payloads, quality, BUNDLE)
    assert parts(unpack(content, BUNDLE)) == (1, quality, payloads, None, False)


@given(PAYLOADS.filter(bool), st.data())
def test_payloads_are_taken_as_from_a_tuple(payloads, data):
    file, expected = unpack(pack_many(payloads, 5, BUNDLE), BUNDLE), tuple(payloads)
    part = data.draw(st.slices(len(payloads)))
    assert file.payloads[part] == expected[part]
    number = data.draw(st.integers(-len(payloads), len(payloads) - 1))
    assert file.payloads[number] == expected[number]
    assert file.payloads.longest == max(map(len, payloads))
    assert file.payloads.lengths.tolist() == list(map(len, payloads))


def test_claimed_images_without_bytes_take_no_memory():
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


def test_the_index_takes_less_than_a_byte_per_image():
    lengths = np.clip(np.random.default_rng(0).normal(16, 5, 1000), 1, None).astype(int)
    payloads = [bytes([1]) * length for length in [*lengths, 400]]  # one outlier does not widen the other codes
    assert len(pack_many(payloads, 5, BUNDLE)) - sum(map(len, payloads)) < 0.8 * len(payloads)


@pytest.mark.parametrize(
    "content",
    [
        pack_one(b"some payload", 5, BUNDLE),
        pack_many([b"first", b"", b"third"], 5, BUNDLE, ["a", "b", "c"]),
        pack_one(b"some payload", 0, BUNDLE),
        pack_many([b"\0first", b"\5", b"\7third"], 0, BUNDLE, ["a", "b", "c"]),
    ],
    ids=["one", "many", "lossless", "own qualities"],
)
def test_any_changed_missing_or_added_byte_is_detected(content):
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
        (content[:1] + b"\xe4" + content[2:], "version 4 of the .fmae format.* reads versions 1 to 3: upgrade"),
        (content[:1] + b"\xe0" + content[2:], "version 0 of the .fmae format"),
        (content[:2] + b"\x0f" + content[3:], "corrupted: byte 3 is 0x0f, which format version 1 does not define"),
        (content[:5], "truncated within its header"),
        (content[:-1], "truncated"),
        (flip(content, len(content) - 1), "corrupted"),
    ):
        with pytest.raises(InputError, match=sentence):
            unpack(damaged, BUNDLE)
    with pytest.raises(InputError, match=r"made by the bundle whose id begins with 0123.* 1123456789abcdef"):
        unpack(content, OTHER)


def test_an_id_with_only_the_same_beginning_does_not_open_a_file():
    with pytest.raises(InputError, match="corrupted"):
        unpack(pack_one(b"some payload", 5, BUNDLE), BUNDLE[:4] + OTHER[4:].replace("4", "5"))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_parsed_or_refused(rest):
    for start in (
        b"",
        pack_one(b"", 5, BUNDLE)[:2],
        pack_many([], 5, BUNDLE)[:7],
        pack_many([], 5, BUNDLE, [])[:7],
    ):
        with contextlib.suppress(InputError):
            unpack(start + rest, BUNDLE)


def with_right_checks(kind, index, body, version=1):
    """Return a stack with any header and body, and correct check codes."""
    start = bytes([0xFA, 0xE0 | version, kind]) + bytes.fromhex(BUNDLE)[:4]
    rest = crc32(body).to_bytes(4, "big") + index
    check = crc_hqx(bytes.fromhex(BUNDLE) + start + rest, 0).to_bytes(2, "big")
    return start + check + rest + body


ONE = b"\x01\x01\x00\x80"  # the index of one image with a payload of one byte


@pytest.mark.parametrize(
    ("kind", "index", "body"),
    [
        (0x80 | 5, b"\x81\x80\x40" + b"\0\0" + b"\xff" * 140_000, b""),  # more images than a file may have
        (0x80 | 5, b"\x01" + b"\xff\xff\xff\xff\x0f" + b"\0\x80", b""),  # a payload of gigabytes
        (0x80 | 5, b"\x01\x00\x00" + b"\0" * 100_000 + b"\x80", b""),  # an endless length in unary
        (0x80 | 5, ONE, b"ab"),  # a byte after the payload
        (0x80 | 5, b"\x01\x01\x10" + b"\x00\x00" + b"\x80", b"a"),  # 16 low bits
        (0x80 | 5, b"\x01\x81\x80\x80\x80\x80\x00" + b"\x00\x80", b"a"),  # a varint of 6 bytes
        (0x80, ONE, b"a"),  # quality 0
        (0x80 | 10, ONE, b"a"),  # quality 10
        (0xC0 | 5, ONE, b"a"),  # one reserved bit
        (0xA0 | 5, ONE, b"a"),  # the other reserved bit
        (0x80 | 5, b"\x01\xff\xff\x03" + b"\x00" + b"\x40", b"a" * 65536),  # a payload of 65,535 bytes and one
        (0x80 | 5, b"\x02\x00\x0f" + b"\x00\x00\x00\x00" + b"\x30", b"a" * 65536),  # and as 2 * 2^15 + 0
    ],
)
def test_invalid_headers_with_right_check_codes_are_refused(kind, index, body):
    unpack(with_right_checks(0x80 | 5, ONE, b"a"), BUNDLE)  # the same with a valid header
    started = time.perf_counter()
    with pytest.raises(InputError, match="corrupted"):
        unpack(with_right_checks(kind, index, body), BUNDLE)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    ("index", "body"),
    [
        (b"\x81\x80\x80\x80\x00" + b"\x81\x00" + b"\x00\x80", b"a"),  # varints that are longer than needed
        (b"\x01\x01\x00\xff", b"a"),  # ones after the last code
        (b"\x01\x01\x01\x7f\xff", b"a"),
        (b"\x01\x00\x0f" + b"\x00\x02" + b"\x80", b"a"),  # 15 low bits
        (b"\x01\x00\x00" + b"\x40", b"a"),  # a shortest length that no payload has
    ],
)
def test_encodings_that_are_never_written_are_read(index, body):
    assert list(unpack(with_right_checks(0x80 | 5, index, body), BUNDLE).payloads) == [body]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_file_of_one_image_may_have_few_bytes_in_any_version(version):
    """A reader that used only the version would read a gigabyte."""
    file = bytearray(pack_one(bytes(65535), 5, BUNDLE))
    file[1] = file[1] & 0xF0 | version
    assert max_file_bytes(file) == len(file)
    assert max_file_bytes(pack_many([b""], 5, BUNDLE)) == 1 << 30


def test_payloads_have_up_to_65535_bytes():
    longest, longer = bytes(65535), bytes(65536)
    assert unpack(pack_one(longest, 5, BUNDLE), BUNDLE).payloads[0] == longest
    assert list(unpack(pack_many([b"", longest], 5, BUNDLE), BUNDLE).payloads) == [b"", longest]
    for pack in (lambda: pack_one(longer, 5, BUNDLE), lambda: pack_many([b"", longer], 5, BUNDLE)):
        with pytest.raises(InputError, match="has 65536 bytes"):
            pack()
    start = bytes([0xFA, 0xE1, 5]) + bytes.fromhex(BUNDLE)[:2]
    check = crc_hqx(bytes.fromhex(BUNDLE) + start + longer, 0).to_bytes(2, "big")
    with pytest.raises(InputError, match="has 65536 bytes"):
        unpack(start + check + longer, BUNDLE)


@pytest.mark.parametrize("paths", [False, True])
def test_versions_differ_only_in_names(paths):
    names = ["a", "b/c" if paths else "c"]
    content = pack_many([b"x", b"yz"], 3, BUNDLE, names)
    assert parts(unpack(content, BUNDLE)) == (2 if paths else 1, 3, [b"x", b"yz"], tuple(names), False)
    index, body = content[13:-3], b"xyz"
    for version in (1, 2):
        file = unpack(with_right_checks(0x90 | 3, index, body, version), BUNDLE)
        assert list(file.payloads) == [b"x", b"yz"]
        if paths and version == 1:
            with pytest.raises(InputError, match="invalid image names: 'b/c' .* contains a /"):
                file.names  # noqa: B018
        else:
            assert file.names == tuple(names)


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        (b"CON\0b", "'CON' cannot be the name of an image: CON is a device on Windows"),
        (b"a\0b\0c", "expected a list of 2 names, one per image, got 3"),
        (b"a", "expected a list of 2 names, one per image, got 1"),
        (b"", "expected a list of 2 names, one per image, got 1"),
        (b"a\0a", "'a' is the name of two images"),
        (b"a\0\xff", "byte 2 of the names is not valid UTF-8"),
        (b"a\0\xed\xa0\x80", "byte 2 of the names is not valid UTF-8"),  # a surrogate
    ],
)
def test_names_that_are_refused_leave_the_images_readable(listed, reason):
    index = b"\x02\x01\x00\xc0" + bytes([len(listed)]) + listed
    file = unpack(with_right_checks(0x90 | 5, index, b"xy"), BUNDLE)
    assert list(file.payloads) == [b"x", b"y"]
    with pytest.raises(InputError, match=f"contains invalid image names: {reason}"):
        file.names  # noqa: B018


def test_an_empty_stack_may_have_names():
    content = pack_many([], 5, BUNDLE, [])
    assert content == with_right_checks(0x90 | 5, b"\x00\x00", b"")
    assert unpack(content, BUNDLE).names == ()
    assert unpack(pack_many([], 5, BUNDLE), BUNDLE).names is None
    with pytest.raises(InputError, match="a list of 0 names, one per image, got 1"):
        unpack(with_right_checks(0x90 | 5, b"\x00\x01a", b""), BUNDLE).names  # noqa: B018


def test_more_images_than_max_images_are_refused_early():
    million = with_right_checks(0x80 | 5, b"\x80\x80\x40" + b"\0\0" + b"\xff" * (1 << 17), b"")
    assert len(unpack(million, BUNDLE, 1 << 20).payloads) == 1 << 20
    tracemalloc.start()
    with pytest.raises(InputError, match="claims 1048576 images, more than max_images=1048575"):
        unpack(million, BUNDLE, (1 << 20) - 1)
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()
    with pytest.raises(InputError, match="claims 1 images, more than max_images=0"):
        unpack(pack_one(b"x", 5, BUNDLE), BUNDLE, 0)


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=30))
def test_the_number_of_low_bits_is_optimal(lengths):
    content = pack_many([bytes(length) for length in lengths], 5, BUNDLE)
    above = [length - min(lengths) for length in lengths]
    bits = [sum(low + (each >> low) + 1 for each in above) for low in range(16)]
    low_bits = content[14 + (1 if min(lengths) < 128 else 2)]
    assert low_bits == bits.index(min(bits))
    index = 15 + (1 if min(lengths) < 128 else 2)
    high = sum((each >> low_bits) + 1 for each in above)
    assert len(content) - sum(lengths) == index + -(-len(lengths) * low_bits // 8) + -(-high // 8)


def test_a_count_of_billions_is_refused():
    content = bytearray(pack_many([b"a"], 5, BUNDLE))
    content[13:14] = b"\xff\xff\xff\xff\x0f"  # four billion images
    with pytest.raises(InputError, match="truncated or corrupted"):
        unpack(bytes(content), BUNDLE)


def test_quality_0_is_of_version_3_only():
    for version in (1, 2, 3):
        one, many = pack_one(b"some payload", 0, BUNDLE), with_right_checks(0x80, ONE, b"\5", version)
        one = one[:1] + bytes([0xE0 | version]) + one[2:5]
        one += crc_hqx(bytes.fromhex(BUNDLE) + one + b"some payload", 0).to_bytes(2, "big") + b"some payload"
        for content in (one, many):
            if version < 3:
                with pytest.raises(InputError, match=f"which format version {version} does not define"):
                    unpack(content, BUNDLE)
            else:
                assert (unpack(content, BUNDLE).version, unpack(content, BUNDLE).quality) == (3, 0)


@given(st.lists(st.tuples(st.integers(0, 9), st.binary(max_size=300)), max_size=40))
def test_payloads_with_their_own_qualities_come_back(coded):
    content = pack_many([bytes([quality]) + payload for quality, payload in coded], 0, BUNDLE)
    file = unpack(content, BUNDLE)
    assert (file.version, file.quality) == (3, 0)
    assert list(file.coded()) == coded
    assert file.qualities.tolist() == [quality for quality, _ in coded]
    assert list(file.coded(file.payloads[1:3])) == coded[1:3]


def test_lossless_payloads_may_be_as_long_as_the_largest_image():
    longest = bytes((1 << 26) + 2)
    content = pack_one(longest, 0, BUNDLE)
    assert max_file_bytes(content[:3]) == len(content)
    assert unpack(content, BUNDLE).payloads.longest == len(longest)
    with pytest.raises(InputError, match="has 67108867 bytes; a .fmae file allows 67108866"):
        pack_one(longest + b"x", 0, BUNDLE)
    index = b"\x01\x83\x80\x80\x20" + b"\x00\x80"  # one byte more
    with pytest.raises(InputError, match="corrupted within its header"):
        unpack(with_right_checks(0x80, index, b"", 3), BUNDLE)
