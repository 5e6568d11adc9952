"""Packets: each can be decoded alone, and any of them in any order give the images that they have."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmae_edge import Codec, FmaeError, InputError
from fmae_edge.runtime.entropy.image_stream import add_image, end_stream
from fmae_edge.runtime.errors import ArgumentError
from fmae_edge.runtime.format.packet import PacketFrame, pack_packet
from fmae_edge.runtime.packet_set import PacketSet
from fmae_edge.runtime.packet_writer import ImagesTooLargeError
from tests.manifest_changes import rewrite

CODEC = Codec()
PACKETS = CODEC.packets
BUNDLE = CODEC.manifest.bundle_id


@pytest.fixture(scope="module")
def sent(images):
    """A set of packets of 60 images, and the images as a .fmae file decodes them."""
    some = images[:60]
    return PACKETS.compress(some, 60, 2), CODEC.decompress(CODEC.compress_batch(some, 2))


def image_of(symbols, quality, named):
    return CODEC._coder.stream_images(np.array([symbols]), quality, named)[0]


@pytest.mark.parametrize("size", [51, 222, 340, 1024])
@pytest.mark.parametrize("options", [{"quality": 1}, {"quality": 2, "effort": 1}, {"max_bytes": 20}])
def test_images_come_back_in_packets_that_are_small_enough(images, size, options):
    some = images[:40]
    packets = PACKETS.compress(some, size, **options)
    assert max(map(len, packets)) <= size
    received = PACKETS.decompress(packets)
    assert received.numbers == tuple(range(40))
    assert (received.missing, received.total) == ((), 40)
    if size == 340 and "quality" in options:
        expected = CODEC.decompress(CODEC.compress_batch(some, **options))
        assert np.abs(received.images.astype(int) - expected).max() <= 1


def test_a_packet_has_as_many_images_as_fit(images):
    packets = [PACKETS.parse(packet) for packet in PACKETS.compress(images[:60], 60, 2)]
    assert [packet.first for packet in packets[1:]] == [packet.numbers.stop for packet in packets[:-1]]
    for packet, following in pairwise(packets):
        rows = [*packet.symbols, following.symbols[0]]
        message = None
        for row in rows:
            message = add_image(message, image_of(row, 2, False))
        longer = pack_packet(PacketFrame(packet.first, 2, end_stream(message, False)), BUNDLE)
        assert len(longer) > 60


def test_several_images_take_less_than_their_payloads(images):
    packets = PACKETS.compress(images, 1024, 1)
    payloads = CODEC.compress_batch(images, 1, bare=True)
    assert sum(map(len, packets)) < sum(map(len, payloads))


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_any_packets_in_any_order_give_their_images(sent, data):
    packets, images = sent
    chosen = data.draw(st.lists(st.integers(0, len(packets) - 1), max_size=2 * len(packets)))
    received = PACKETS.decompress([packets[number] for number in chosen])
    there = sorted({number for each in chosen for number in PACKETS.parse(packets[each]).numbers})
    assert list(received.numbers) == there
    known = 60 if len(packets) - 1 in chosen else max(there, default=-1) + 1
    assert set(received.missing) == set(range(known)) - set(there)
    assert received.total == (60 if len(packets) - 1 in chosen else None)
    assert received.images.shape == (len(there), 28, 28)
    if there:
        assert np.abs(received.images.astype(int) - images[there]).max() <= 1


def test_a_packet_with_room_is_filled_with_quality(images, sent):
    some = images[:60]
    plain = [PACKETS.parse(packet) for packet in PACKETS.compress(some, 51, 1)]
    filled = [PACKETS.parse(packet) for packet in PACKETS.compress(some, 51, 1, fill=True)]
    assert [packet.numbers for packet in plain] == [packet.numbers for packet in filled]
    qualities = [packet.qualities[0] for packet in filled]
    assert max(qualities) > min(qualities) >= 1
    for packet, quality in zip(filled, qualities, strict=True):
        assert packet.packet_bytes <= 51
        if quality < 9:
            higher = PACKETS.compress(some[packet.first : packet.numbers.stop], 1000, quality + 1)
            assert len(higher[0]) >= 51  # the last packet of a set may be a byte longer
    received = PACKETS.decompress(PACKETS.compress(some, 51, 1, fill=True))
    error = np.square(received.images.astype(int) - some).mean()
    assert error < np.square(PACKETS.decompress(PACKETS.compress(some, 51, 1)).images.astype(int) - some).mean()
    with pytest.raises(ArgumentError, match="fill raises the quality of packets"):
        PACKETS.compress(some, 51, max_bytes=20, fill=True)


def test_each_image_has_the_best_quality_that_fits(images):
    some = images[:30]
    received = [PACKETS.parse(packet) for packet in PACKETS.compress(some, 51, max_bytes=20)]
    found = [pair for packet in received for pair in zip(packet.qualities, packet.symbols, strict=True)]
    for image, (quality, symbols) in zip(some, found, strict=True):
        payloads = [CODEC.compress(image, each, bare=True) for each in range(1, 10)]
        errors = {
            each: ((CODEC.decompress(payload, bare=True, quality=each).astype(int) - image) ** 2).sum()
            for each, payload in enumerate(payloads, 1)
            if len(payload) <= 20
        }
        # int8 graphs may round otherwise in a batch
        assert errors[quality] <= min(errors.values()) * 1.01
        np.testing.assert_array_equal(symbols, CODEC.symbols(CODEC.compress(image, quality))[0])
    assert len({quality for quality, _ in found}) > 1


def test_every_changed_bit_and_every_missing_byte_is_detected(sent):
    packet = sent[0][1]
    for bit in range(8 * len(packet)):
        changed = bytearray(packet)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InputError, match="its check code does not match"):
            PACKETS.parse(changed)
    for end in range(len(packet)):
        with pytest.raises(InputError):
            PACKETS.parse(packet[:end])


def test_zeros_at_the_end_are_ignored(sent):
    for packet in sent[0]:
        assert not packet.endswith(b"\0") or len(packet) == 4
        padded = PACKETS.parse(packet.ljust(1024, b"\0"))
        assert padded.numbers == PACKETS.parse(packet).numbers
    with pytest.raises(InputError, match="has 1025 bytes; a packet has at most 1024"):
        PACKETS.parse(sent[0][0].ljust(1025, b"\0"))


def test_packets_of_another_bundle_are_refused(bundle, sent):
    rewrite(bundle, lambda manifest: manifest["qualities"].update(unit=manifest["qualities"]["unit"] * 2))
    other = Codec(bundle)
    with pytest.raises(InputError, match=f"not made by bundle {other.manifest.bundle_id}"):
        other.packets.parse(sent[0][0])
    with pytest.raises(InputError, match="was parsed with bundle"):
        other.packets.parse(PACKETS.parse(sent[0][0]))
    with pytest.raises(InputError, match=r"^packet 0: its check code"):
        other.packets.decompress(sent[0])


def test_packets_of_two_sets_are_not_mixed(images, sent):
    for others in (images[60:120], images[:10], images[60:150]):
        with pytest.raises(InputError, match=r"^packet \d+: is of another set"):
            PACKETS.decompress([*sent[0], *PACKETS.compress(others, 60, 2)])
    received = PacketSet()
    received.add(PACKETS.parse(sent[0][-1]))
    with pytest.raises(InputError, match="another set"):
        received.add(PACKETS.parse(PACKETS.compress(images[60:140], 60, 2)[-1]))
    assert received.numbers == tuple(PACKETS.parse(sent[0][-1]).numbers)
    assert received.add(PACKETS.parse(sent[0][-1])) == []


def test_no_image_follows_the_end_of_a_set(images, sent):
    ending, later = PACKETS.compress(images[:3], 1024, 2)[0], sent[0][-2]
    assert PACKETS.parse(later).first > 3
    for order in ([ending, later], [later, ending]):
        with pytest.raises(InputError, match=r"^packet 1: is of another set than the packets before it"):
            PACKETS.decompress(order)


def test_the_images_of_a_packet_are_limited(images, monkeypatch):
    monkeypatch.setattr("fmae_edge.runtime.packets.MAX_PACKET_IMAGES", 20)
    monkeypatch.setattr("fmae_edge.runtime.packet_writer.MAX_PACKET_IMAGES", 20)
    image = image_of(np.zeros(64, int), 1, False)
    message, messages = None, []
    for _ in range(21):
        message = add_image(message, image)
        messages.append(end_stream(message, False))
    accepted = PACKETS.parse(pack_packet(PacketFrame(0, 1, messages[19]), BUNDLE))
    assert len(accepted.numbers) == 20
    with pytest.raises(InputError, match="more than 20 images"):
        PACKETS.parse(pack_packet(PacketFrame(0, 1, messages[20]), BUNDLE))
    PACKETS.parse(pack_packet(PacketFrame(4094, 1, messages[1]), BUNDLE))
    with pytest.raises(InputError, match="more than 2 images"):
        PACKETS.parse(pack_packet(PacketFrame(4094, 1, messages[2]), BUNDLE))
    assert len(PACKETS.parse(PACKETS.compress(images[:30], 1024, 1)[0]).numbers) == 20


def test_what_no_writer_writes_is_refused(sent):
    packet = PACKETS.parse(sent[0][0])
    message = sent[0][0][4:]
    for quality in range(10, 16):
        with pytest.raises(InputError, match=f"its quality is {quality}"):
            PACKETS.parse(pack_packet(PacketFrame(packet.first, quality, message), BUNDLE))
    with pytest.raises(InputError, match="it has bytes after its last image"):
        PACKETS.parse(pack_packet(PacketFrame(packet.first, 2, message + b"\1\2"), BUNDLE))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 4095), st.integers(0, 15), st.binary(max_size=60))
def test_hostile_messages_raise_nothing_else(first, quality, message):
    try:
        received = PACKETS.decompress([pack_packet(PacketFrame(first, quality, message), BUNDLE)])
    except FmaeError:
        return
    assert len(received.images) == len(received.numbers) <= 255
    assert received.numbers[-1] < 4096


def test_wrong_arguments_are_refused(images):
    for size in (15, 1025, 51.0, True):
        with pytest.raises(ArgumentError, match=f"packet_bytes is {size}; expected an integer"):
            PACKETS.compress(images, size)
    with pytest.raises(
        InputError, match=r"^image 0: packet_bytes is 16, but the image takes \d+ bytes in a packet"
    ):
        PACKETS.compress(images[:1], 16, 9)
    with pytest.raises(InputError, match=r"^image 0: max_bytes is 3, but the image takes \d+ bytes at the lowest"):
        PACKETS.compress(images[:1], 51, max_bytes=3)
    with pytest.raises(
        ImagesTooLargeError, match=r"^image 0: packet_bytes is 20.*; 2 more images do not fit"
    ) as all:
        PACKETS.compress(images[[0, 1, 2]], 20, max_bytes=40)
    assert list(all.value.errors) == [0, 1, 2]
    with pytest.raises(InputError, match="packets number at most 4096 images, got 4097"):
        PACKETS.compress(np.zeros((4097, 28, 28), np.uint8), 51)
    with pytest.raises(InputError, match="expected the bytes of a packet, got int"):
        PACKETS.decompress([5])
    with pytest.raises(InputError, match="packets is 5; expected an iterable"):
        PACKETS.decompress(5)
    assert PACKETS.compress(images[:0], 51) == []
    nothing = PACKETS.decompress([])
    assert (nothing.images.shape, nothing.numbers, nothing.missing, nothing.total) == ((0, 28, 28), (), (), None)
    assert PACKETS.decompress(PACKETS.compress(images[0], 51, 1)).images.shape == (1, 28, 28)
