"""Write packets: as many whole images in each as fit, and then the quality that fits."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.arguments import Stack, slices
from fmae_edge.runtime.bundle.manifest import QUALITIES
from fmae_edge.runtime.entropy.image_stream import StreamImage, add_image, end_stream
from fmae_edge.runtime.entropy.prior import Integers
from fmae_edge.runtime.entropy.range_coder import Encoder
from fmae_edge.runtime.errors import ArgumentError, InputError
from fmae_edge.runtime.fmae_writer import CodingOptions
from fmae_edge.runtime.format.packet import MAX_PACKET_IMAGES, OWN_QUALITIES, PacketFrame, pack_packet
from fmae_edge.runtime.latent_coder import LatentCoder

_NEVER = 1 << 62  # a squared error above all others


class PacketWriter:
    """Writes packets with the coder of a bundle, whose id is `bundle_id`."""

    def __init__(self, coder: LatentCoder, bundle_id: str) -> None:
        self._coder, self._bundle_id = coder, bundle_id

    def packets(self, images: Stack, most: int, options: CodingOptions, fill: bool) -> list[bytes]:
        """Return packets of at most `most` bytes; with `fill`, each has the highest quality that fits.

        Raises ImagesTooLargeError if images do not fit into a packet of their own, or into `options.max_bytes`.
        """
        quality = options.quality if options.max_bytes is None else OWN_QUALITIES
        packets: list[bytes] = []
        firsts: list[int] = []
        too_large: dict[int, ArgumentError] = {}
        message: Encoder | None = None
        for number, image in enumerate(self._stream_images(images, options, too_large)):
            ends_set = number == len(images) - 1
            if message is not None and number - firsts[-1] < MAX_PACKET_IMAGES:
                longer = add_image(message, image)
                content = self._packet(firsts[-1], quality, longer, ends_set)
                if len(content) <= most:
                    message, packets[-1] = longer, content
                    continue
            message = add_image(None, image)
            firsts.append(number)
            packets.append(self._packet(number, quality, message, ends_set))
            if len(packets[-1]) > most:
                too_large.setdefault(number, _does_not_fit("packet_bytes", most, len(packets[-1])))
        if too_large:
            raise ImagesTooLargeError(too_large)
        if not fill:
            return packets
        ends = [*firsts[1:], len(images)]
        return [
            self._filled(packet, images[first:end], first, end == len(images), most, options)
            for packet, first, end in zip(packets, firsts, ends, strict=True)
        ]

    def _packet(self, first: int, quality: int, message: Encoder, ends_set: bool) -> bytes:
        return pack_packet(PacketFrame(first, quality, end_stream(message, ends_set)), self._bundle_id)

    def _filled(
        self, packet: bytes, images: NDArray[Any], first: int, ends_set: bool, most: int, options: CodingOptions
    ) -> bytes:
        """Return the packet of the same images with the highest quality that fits."""
        latents = self._coder.latents(images)
        for quality in range(options.quality + 1, QUALITIES + 1):
            symbols = self._coder.quantise(latents, images, quality, options.effort)
            message = _message(self._coder.stream_images(symbols, quality, own_quality=False))
            content = self._packet(first, quality, message, ends_set)
            if len(content) > most:
                break
            packet = content
        return packet

    def _stream_images(
        self, images: Stack, options: CodingOptions, too_large: dict[int, ArgumentError]
    ) -> Iterator[StreamImage]:
        """Yield the images to code. `too_large` gets those of which no quality fits into `options.max_bytes`."""
        for part in slices(len(images), self._coder.images_at_once):
            batch = images[part]
            if options.max_bytes is None:
                latents = self._coder.latents(batch)
                symbols = self._coder.quantise(latents, batch, options.quality, options.effort)
                yield from self._coder.stream_images(symbols, options.quality, own_quality=False)
                continue
            best, symbols, lengths = self._best_that_fit(batch, options.effort, options.max_bytes)
            for number, length in enumerate(lengths, part.start):
                if length > options.max_bytes:
                    too_large[number] = _does_not_fit("max_bytes", options.max_bytes, length)
            for quality, row in zip(best, symbols, strict=True):
                yield from self._coder.stream_images(row[None], quality, own_quality=True)

    def _best_that_fit(
        self, batch: NDArray[Any], effort: int, max_bytes: int
    ) -> tuple[list[int], Integers, list[int]]:
        """Return the quality of each image with the lowest error of those whose payload has at most `max_bytes`.

        If none has, it is the quality with the shortest payload. Also returns the symbols (N, latent_size) of
        these qualities, and the lengths of their payloads.
        """
        latents = self._coder.latents(batch)
        symbols = np.empty((QUALITIES, *latents.shape), np.int64)
        lengths, errors = (np.empty((QUALITIES, len(batch)), np.int64) for _ in range(2))
        for index in range(QUALITIES):
            symbols[index] = self._coder.quantise(latents, batch, index + 1, effort)
            lengths[index] = [len(payload) for payload in self._coder.payloads_of(symbols[index], index + 1)]
            errors[index] = self._coder.squared_errors(symbols[index], batch, index + 1)
        too_long = lengths > max_bytes
        best = np.where(
            too_long.all(axis=0), lengths.argmin(axis=0), np.where(too_long, _NEVER, errors).argmin(axis=0)
        )
        columns = np.arange(len(batch))
        return (best + 1).tolist(), symbols[best, columns], lengths[best, columns].tolist()


def _message(images: Iterable[StreamImage]) -> Encoder:
    message = None
    for image in images:
        message = add_image(message, image)
    assert message is not None
    return message


class ImagesTooLargeError(InputError):
    """Images that are too large for a packet or for `max_bytes`: `errors` has an error for each number."""

    def __init__(self, errors: dict[int, ArgumentError]) -> None:
        number = min(errors)
        more = f"; {len(errors) - 1} more images do not fit either" if len(errors) > 1 else ""
        super().__init__(f"image {number}: {errors[number]}{more}")
        self.errors = errors


def _does_not_fit(argument: str, most: int, needed: int) -> ArgumentError:
    where = "at the lowest quality"
    if argument == "packet_bytes":
        where = "in a packet of its own; use larger packets, a lower quality or max_bytes"
    return ArgumentError(argument, f"is {most}, but the image takes {needed} bytes {where}")
