"""Code several images as one message of the range coder, so that none of them ends at a whole byte.

After each image, an interval says whether another image follows. spec/format.md specifies the message of a packet.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fmae_edge.runtime.bundle.manifest import QUALITIES
from fmae_edge.runtime.entropy.prior import Integers, Prior
from fmae_edge.runtime.entropy.range_coder import TOTAL, Encoder, SingleDecoder
from fmae_edge.runtime.entropy.symbol_coder import decode_next, intervals_of
from fmae_edge.runtime.errors import InputError

# What follows an image, and where its interval starts: probabilities 7/64, 1/64 and 7/8. Zeros follow the end of a
# message, and stand for the first.
_END, _END_OF_SET, _ANOTHER = 0, 1, 2
_FOLLOWS = (0, 7168, 8192, TOTAL)
_QUALITY_STARTS = (*(TOTAL // QUALITIES * number for number in range(QUALITIES)), TOTAL)


class StreamImage(NamedTuple):
    """An image to code: the intervals of its symbols, and its quality from 1, or None if the header has it."""

    starts: Sequence[int]
    sizes: Sequence[int]
    quality: int | None


class StreamContent(NamedTuple):
    """The images in a message: symbols (N, latent_size), their qualities, and whether it ends the whole set."""

    symbols: Integers
    qualities: tuple[int, ...]
    ends_set: bool


def stream_images(prior: Prior, symbols: Integers, quality: int, own_quality: bool) -> list[StreamImage]:
    """Return symbols (N, latent_size) as images to code; with `own_quality`, each names its quality."""
    starts, sizes = intervals_of(prior, symbols, quality - 1)
    named = quality if own_quality else None
    return [StreamImage(*pair, named) for pair in zip(starts.tolist(), sizes.tolist(), strict=True)]


def add_image(message: Encoder | None, image: StreamImage) -> Encoder:
    """Return a message with one more image; None is the message without images."""
    message = Encoder() if message is None else _add(message, _FOLLOWS, _ANOTHER)
    if image.quality is not None:
        message = _add(message, _QUALITY_STARTS, image.quality - 1)
    return message.after(image.starts, image.sizes)


def end_stream(message: Encoder, ends_set: bool) -> bytes:
    """Return the bytes of a message of at least one image; `ends_set` says that no message follows this one."""
    return _add(message, _FOLLOWS, _END_OF_SET if ends_set else _END).message()


def _add(message: Encoder, starts: Sequence[int], index: int) -> Encoder:
    return message.after(starts[index : index + 1], (starts[index + 1] - starts[index],))


def read_stream(
    prior: Prior, message: bytes, latent_size: int, quality: int | None, max_images: int
) -> StreamContent:
    """Return the images in a message; `quality` is that of all images, or None if each names its own.

    Raises InputError if there are more than `max_images`, or bytes that no writer would add.
    """
    decoder = SingleDecoder(message)
    symbols: list[list[int]] = []
    qualities: list[int] = []
    while True:
        if len(symbols) == max_images:
            raise InputError(f"corrupted: it has more than {max_images} images")
        own = quality
        if own is None:
            own = 1 + decoder.next_of(_QUALITY_STARTS, 0, QUALITIES)
        symbols.append(decode_next(prior, decoder, latent_size, own - 1))
        qualities.append(own)
        follows = decoder.next_of(_FOLLOWS, 0, len(_FOLLOWS) - 1)
        if follows != _ANOTHER:
            break
    if len(message) > decoder.most_bytes:
        raise InputError("corrupted: it has bytes after its last image")
    return StreamContent(np.array(symbols, np.int64), tuple(qualities), follows == _END_OF_SET)
