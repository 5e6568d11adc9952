"""Packets of images: write a set of them, and read any of them."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.arguments import BytesLike, ImageLike, as_flag, convert_each
from fmae_edge.runtime.errors import ArgumentError, InputError
from fmae_edge.runtime.fmae_writer import as_options
from fmae_edge.runtime.format.packet import (
    MAX_PACKET_IMAGES,
    MAX_SET_IMAGES,
    PACKET_OVERHEAD,
    as_packet_bytes,
    unpack_packet,
)
from fmae_edge.runtime.images import as_batch
from fmae_edge.runtime.latent_coder import LatentCoder

if TYPE_CHECKING:  # every codec has a PacketCodec, and few use it
    from fmae_edge.runtime.packet_set import Packet, PacketImages, PacketSet


def as_fill(fill: object, max_bytes: object) -> bool:
    """Return the option of `PacketCodec.compress`. Raises ArgumentError if `max_bytes` contradicts it."""
    wanted = as_flag("fill", fill)
    if wanted and max_bytes is not None:
        raise ArgumentError("fill", "raises the quality of packets, but max_bytes chooses it; use only one")
    return wanted


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
        quality: int | None = None,
        effort: int = 0,
        max_bytes: int | None = None,
        *,
        fill: bool = False,
    ) -> list[bytes]:
        """Return packets of at most `packet_bytes` (16 to 1,024) with as many whole images (N, H, W) as fit.

        Each packet can be decoded alone, and knows the numbers of its images. There are at most 4,096 images. The
        options are those of `Codec.compress`, but `max_bytes` limits the bare payload of each image: it gets the
        quality with the best PSNR among those that fit. With `fill`, a packet with room gets the highest quality
        at which the same images fit. Packets have no images that are stored exactly, so there is no `min_psnr`.

        Raises InputError if an argument is invalid or an image does not fit, BundleError if there is no prior.
        """
        from fmae_edge.runtime.packet_writer import PacketWriter

        options = as_options(quality, effort, max_bytes)
        most, fill = as_packet_bytes(packet_bytes), as_fill(fill, max_bytes)
        stack, _ = as_batch(images, self._coder.image_shape)
        if len(stack) > MAX_SET_IMAGES:
            raise InputError(f"packets number at most {MAX_SET_IMAGES} images, got {len(stack)}; use several sets")
        return PacketWriter(self._coder, self._bundle_id).packets(stack, most, options, fill)

    def first_number(self, content: BytesLike) -> int:
        """Return the number of the first image in a packet; decodes no symbols. Raises as `parse` does."""
        return unpack_packet(content, self._bundle_id).first

    def parse(self, content: "BytesLike | Packet") -> "Packet":
        """Parse and check the bytes of a packet, or return a parsed one as it is.

        Raises InputError if the bytes are damaged, not a packet, or made by another bundle.
        """
        from fmae_edge.runtime.packet_set import Packet

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

    def decompress(self, packets: "Iterable[BytesLike | Packet]") -> "PacketImages":
        """Return the images in packets of one set: any of them, in any order, some perhaps twice.

        Raises InputError if one is damaged, made by another bundle or of another set, with its place from 0. Use
        `parse` first to leave such packets out.
        """
        from fmae_edge.runtime.packet_set import PacketSet

        received = PacketSet()
        for _ in convert_each("packets", "packet", packets, lambda each: received.add(self.parse(each))):
            pass
        return self.images(received)

    def images(self, received: "PacketSet") -> "PacketImages":
        """Decode the images of packets."""
        from fmae_edge.runtime.packet_set import PacketImages

        numbers = received.numbers
        return PacketImages(self.decode(received, numbers), numbers, received.missing, received.total)

    def decode(self, received: "PacketSet", numbers: Sequence[int]) -> NDArray[np.uint8]:
        """Return some of the images of packets, those with these numbers, as (N, H, W)."""
        images = np.empty((len(numbers), *self._coder.image_shape), np.uint8)
        coded = [received.coded(number) for number in numbers]
        for quality in {each.quality for each in coded}:
            rows = [row for row, each in enumerate(coded) if each.quality == quality]
            images[rows] = self._coder.images_of(np.stack([coded[row].symbols for row in rows]), quality)
        return images
