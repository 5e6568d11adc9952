"""Write packets of images, and read them."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.arguments import BytesLike, ImageLike, Stack, convert_each, slices
from fmae_edge.runtime.bundle.manifest import QUALITIES
from fmae_edge.runtime.entropy.image_stream import StreamImage, add_image, end_stream
from fmae_edge.runtime.entropy.range_coder import Encoder
from fmae_edge.runtime.errors import ArgumentError, InputError
from fmae_edge.runtime.fmae_writer import DEFAULT_QUALITY, CodingOptions, as_options
from fmae_edge.runtime.format.packet import (
    MAX_PACKET_IMAGES,
    MAX_SET_IMAGES,
    OWN_QUALITIES,
    PACKET_OVERHEAD,
    PacketFrame,
    as_packet_bytes,
    pack_packet,
    unpack_packet,
)
from fmae_edge.runtime.images import as_batch
from fmae_edge.runtime.latent_coder import LatentCoder
from fmae_edge.runtime.packet_set import Packet, PacketImages, PacketSet

_NEVER = 1 << 62  # a squared error above all others


class PacketCodec:
    """Packets of a codec, which is `codec.packets`. The bundle's id is `bundle_id`.

    Example::

        packets = codec.packets.compress(images, 51)  # (N, 28, 28) uint8 -> list of at most 51 bytes each
        received = codec.packets.decompress(packets[3:])  # any of them, in any order
        print(received.numbers, received.missing, received.images.shape)
    """

    def __init__(self, coder: LatentCoder, bundle_id: str) -> None:
        self._coder, self._bundle_id = coder, bundle_id

    def compress(
        self,
        images: ImageLike,
        packet_bytes: int,
        quality: int = DEFAULT_QUALITY,
        effort: int = 0,
        max_bytes: int | None = None,
    ) -> list[bytes]:
        """Return packets of at most `packet_bytes` (16 to 1,024) with as many whole images (N, H, W) as fit.

        Each packet can be decoded alone, and knows the numbers of its images. There are at most 4,096 images. The
        options are those of `Codec.compress`, but `max_bytes` limits the bare payload of each image: it gets the
        quality with the best PSNR among those that fit.

        Raises InputError if an argument is invalid or an image does not fit, BundleError if there is no prior.
        """
        options = as_options(quality, effort, max_bytes)
        most = as_packet_bytes(packet_bytes)
        stack, _ = as_batch(images, self._coder.image_shape)
        if len(stack) > MAX_SET_IMAGES:
            raise InputError(f"packets number at most {MAX_SET_IMAGES} images, got {len(stack)}; use several sets")
        header_quality = options.quality if max_bytes is None else OWN_QUALITIES

        def close(first: int, message: Encoder, ends_set: bool) -> bytes:
            return pack_packet(PacketFrame(first, header_quality, end_stream(message, ends_set)), self._bundle_id)

        packets: list[bytes] = []
        too_large: dict[int, ArgumentError] = {}
        first, message = 0, None
        for number, image in enumerate(self._stream_images(stack, options, too_large)):
            ends_set = number == len(stack) - 1
            if message is not None:
                longer = add_image(message, image)
                content = close(first, longer, ends_set)
                if len(content) <= most and number - first < MAX_PACKET_IMAGES:
                    message, packets[-1] = longer, content
                    continue
            first, message = number, add_image(None, image)
            packets.append(close(first, message, ends_set))
            if len(packets[-1]) > most:
                too_large.setdefault(number, _does_not_fit("packet_bytes", most, len(packets[-1])))
        if too_large:
            raise ImagesTooLargeError(too_large)
        return packets

    def parse(self, content: BytesLike | Packet) -> Packet:
        """Parse and check the bytes of a packet, or return a parsed one as it is.

        Raises InputError if the bytes are damaged, not a packet, or made by another bundle.
        """
        if isinstance(content, Packet):
            if content.bundle_id != self._bundle_id:
                raise InputError(
                    f"was parsed with bundle {content.bundle_id}, but this codec has bundle {self._bundle_id}"
                )
            return content
        frame = unpack_packet(content, self._bundle_id)
        most = min(MAX_PACKET_IMAGES, MAX_SET_IMAGES - frame.first)
        symbols, qualities, ends_set = self._coder.read_stream(frame.message, frame.quality or None, most)
        size = len(frame.message) + PACKET_OVERHEAD
        return Packet(self._bundle_id, frame.first, symbols, qualities, ends_set, size)

    def decompress(self, packets: Iterable[BytesLike | Packet]) -> PacketImages:
        """Return the images in packets of one set: any of them, in any order, some perhaps twice.

        Raises InputError if one is damaged, made by another bundle or of another set, with its place from 0. Use
        `parse` first to leave such packets out.
        """
        received = PacketSet()
        for _ in convert_each("packets", "packet", packets, lambda each: received.add(self.parse(each))):
            pass
        return self.images(received)

    def images(self, received: PacketSet) -> PacketImages:
        """Decode the images of packets."""
        images = np.empty((len(received.numbers), *self._coder.image_shape), np.uint8)
        qualities = np.array([received.coded(number).quality for number in received.numbers])
        for quality in np.unique(qualities).tolist():
            (rows,) = np.nonzero(qualities == quality)
            symbols = np.stack([received.coded(received.numbers[row]).symbols for row in rows])
            images[rows] = self._coder.images_of(symbols, quality)
        return PacketImages(images, received.numbers, received.missing, received.total)

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
            chosen, lengths = self._best_that_fit(batch, options.effort, options.max_bytes)
            for number, length in enumerate(lengths, part.start):
                if length > options.max_bytes:
                    too_large[number] = _does_not_fit("max_bytes", options.max_bytes, length)
            yield from chosen

    def _best_that_fit(
        self, batch: NDArray[Any], effort: int, max_bytes: int
    ) -> tuple[list[StreamImage], list[int]]:
        """Return each image in the quality with the lowest error of those whose payload has at most `max_bytes`.

        If none has, it is the quality with the shortest payload. Also returns the length of the payloads.
        """
        latents = self._coder.latents(batch)
        tried: list[list[StreamImage]] = []
        lengths, errors = (np.empty((QUALITIES, len(batch)), np.int64) for _ in range(2))
        for index in range(QUALITIES):
            symbols = self._coder.quantise(latents, batch, index + 1, effort)
            tried.append(self._coder.stream_images(symbols, index + 1, own_quality=True))
            lengths[index] = [len(payload) for payload in self._coder.payloads_of(symbols, index + 1)]
            errors[index] = self._coder.squared_errors(symbols, batch, index + 1)
        too_long = lengths > max_bytes
        best = np.where(
            too_long.all(axis=0), lengths.argmin(axis=0), np.where(too_long, _NEVER, errors).argmin(axis=0)
        )
        columns = np.arange(len(batch))
        chosen = [tried[index][column] for index, column in zip(best.tolist(), columns.tolist(), strict=True)]
        return chosen, lengths[best, columns].tolist()


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
