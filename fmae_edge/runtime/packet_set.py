"""Collect the images in packets of one set: any packets, in any order."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.errors import InputError


@dataclass(frozen=True)
class Packet:
    """A packet that was parsed and checked for one bundle, whose id is `bundle_id`.

    Its images are `first`, `first` + 1 and so on of the set; `symbols` (N, latent) and `qualities` have one row
    for each. `ends_set` says that no image follows the last one. `packet_bytes` does not count zeros at the end.
    """

    bundle_id: str
    first: int
    symbols: NDArray[np.int64]
    qualities: tuple[int, ...]
    ends_set: bool
    packet_bytes: int

    @property
    def numbers(self) -> range:
        """The numbers of its images in the set, from 0."""
        return range(self.first, self.first + len(self.qualities))


@dataclass(frozen=True)
class PacketImages:
    """The images (N, H, W) in packets, in the order of their `numbers` in the set.

    `missing` are the numbers of images that no packet has, up to the last that is known to exist. `total` is the
    number of images in the set, None if the last packet is missing, because only that one says it.
    """

    images: NDArray[np.uint8]
    numbers: tuple[int, ...]
    missing: tuple[int, ...]
    total: int | None


class CodedImage(NamedTuple):
    """The symbols (latent,) of an image, and their quality."""

    quality: int
    symbols: NDArray[np.int64]


class PacketSet:
    """The images in the packets of one set, in any order; packets may be missing, or come twice."""

    def __init__(self) -> None:
        self._images: dict[int, CodedImage] = {}
        self._total: int | None = None
        self._known = 0  # images: one more than the last number

    def add(self, packet: Packet) -> list[int]:
        """Add the images of a packet, and return the numbers of those that are new.

        Raises InputError if the packet is of another set than those before it; then none of its images is added.
        """
        known = max(packet.numbers.stop, self._known)
        total = packet.numbers.stop if packet.ends_set else self._total
        if total is not None and (known > total or self._total not in (None, total)):
            raise InputError(
                f"is of another set than the packets before it: it has images {packet.first} to "
                f"{packet.numbers.stop - 1}{', the last ones' * packet.ends_set}, and they have {self._known}"
            )
        new = {}
        for number, *coded in zip(packet.numbers, packet.qualities, packet.symbols, strict=True):
            before, image = self._images.get(number), CodedImage(*coded)
            if before is None:
                new[number] = image
            elif before.quality != image.quality or (before.symbols != image.symbols).any():
                raise InputError(
                    f"is of another set than the packets before it: they have a different image {number}"
                )
        self._images |= new
        self._known, self._total = known, total
        return list(new)

    def coded(self, number: int) -> CodedImage:
        """Return an image that a packet has."""
        return self._images[number]

    @property
    def total(self) -> int | None:
        """The number of images in the set, None if the last packet is missing."""
        return self._total

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the images, from 0, in order."""
        return tuple(sorted(self._images))

    @property
    def missing(self) -> tuple[int, ...]:
        """The numbers of the images that no packet has, up to the last that is known to exist."""
        return tuple(number for number in range(self._known) if number not in self._images)
