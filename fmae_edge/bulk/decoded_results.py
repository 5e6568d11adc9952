"""Decode results of a run again: all of them to measure their PSNR, or a few to notice images of another kind."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fmae_edge.measure.quality import contrast_to_error, psnr_per_image
from fmae_edge.runtime.bundle.manifest import QUALITIES
from fmae_edge.runtime.codec import Codec
from fmae_edge.runtime.format.fmae_file import is_fmae
from fmae_edge.runtime.format.npy_file import load_latents
from fmae_edge.runtime.format.payload_index import Payloads

# Decoding the first images of a run and then every 128th takes a hundredth of its time
_FIRST, _EVERY = 16, 128
# One training image in a thousand is below its floor, and of other kinds a third and more
_UNUSUAL_SHARE = 1 / 8

Pixels = NDArray[np.uint8]


class UnlikeTraining(NamedTuple):
    """Of `checked` decoded images, `below` are worse than nearly all training images; `input` is one of them.

    `psnr` is that of `input`, in dB.
    """

    checked: int
    below: int
    input: str
    psnr: float


class DecodedResults:
    """Decodes results of `codec`: all of them if `all_of_them`, else a few, until some are unlike training images.

    A bundle without floors, and a run that `guarantees` a quality, need no comparison with training images.
    """

    def __init__(self, codec: Codec, all_of_them: bool, guarantees: bool) -> None:
        qualities = codec.manifest.qualities
        self._floors = None if guarantees or qualities is None else qualities.contrast_floors
        self._codec, self._all = codec, all_of_them
        self._seen = self._checked = self._below = 0
        self.unlike_training: UnlikeTraining | None = None

    def psnrs_of_files(
        self, labels: Sequence[object], images: Pixels, contents: Sequence[bytes]
    ) -> list[float | None]:
        """Return the PSNR of each of N `images` in files of their own, None unless all are decoded.

        `labels` name the images in messages.
        """
        chosen = self._choose(len(images))
        if not chosen:
            return [None] * len(images)
        some = [contents[number] for number in chosen]
        if is_fmae(some[0]):
            files = [self._codec.parse(content) for content in some]
            decoded = np.stack(list(self._codec.decompress_iter(files)))
            qualities = [file.quality for file in files]
        else:
            size = self._codec.manifest.latent_size
            decoded = self._codec.decode(np.stack([load_latents(content, size, "") for content in some]))
            qualities = [QUALITIES] * len(some)
        return self._compare(labels, images, chosen, decoded, qualities)

    def psnrs_of_stack(self, labels: Sequence[object], images: Pixels, content: bytes) -> list[float | None]:
        """Return the same for images in one file of all of them."""
        chosen = self._choose(len(images))
        if not chosen:
            return [None] * len(images)
        if is_fmae(content):
            file = self._codec.parse(content)
            some = [file.payloads[number] for number in chosen]
            payloads = Payloads(b"".join(some), np.array(list(map(len, some))))
            file = replace(file, payloads=payloads, listed=None)
            decoded, qualities = self._codec.decompress_batch(file), file.qualities.tolist()
        else:
            latents = np.atleast_2d(load_latents(content, self._codec.manifest.latent_size, ""))
            decoded, qualities = self._codec.decode(latents[chosen]), [QUALITIES] * len(chosen)
        return self._compare(labels, images, chosen, decoded, qualities)

    def psnrs_of_packets(
        self, labels: Sequence[object], images: Pixels, packets: Sequence[bytes]
    ) -> list[float | None]:
        """Return the same for images in all packets of a set."""
        from fmae_edge.runtime.packet_set import PacketSet

        chosen = self._choose(len(images))
        if not chosen:
            return [None] * len(images)
        received, firsts = PacketSet(), list(map(self._codec.packets.first_number, packets))
        for index in sorted({bisect_right(firsts, number) - 1 for number in chosen}):
            received.add(self._codec.packets.parse(packets[index]))
        qualities = [received.coded(number).quality for number in chosen]
        decoded = self._codec.packets.decode(received, chosen)
        return self._compare(labels, images, chosen, decoded, qualities)

    def _choose(self, count: int) -> list[int]:
        """Return the numbers of those of the next `count` images that are decoded."""
        first, self._seen = self._seen, self._seen + count
        if self._all:
            return list(range(count))
        if self._floors is None or self.unlike_training is not None:
            return []
        return [number for number in range(count) if first + number < _FIRST or (first + number) % _EVERY == 0]

    def _compare(
        self, labels: Sequence[object], images: Pixels, chosen: list[int], decoded: Pixels, qualities: list[int]
    ) -> list[float | None]:
        originals = images[chosen]
        psnrs = psnr_per_image(originals, decoded)
        if self._floors is not None and self.unlike_training is None:
            floors = np.array([self._floors[quality - 1] for quality in qualities])
            below = np.flatnonzero(contrast_to_error(originals, decoded) < floors).tolist()
            self._checked += len(chosen)
            self._below += len(below)
            if below and self._below >= _UNUSUAL_SHARE * self._checked:
                label, psnr = str(labels[chosen[below[0]]]), psnrs[below[0]]
                self.unlike_training = UnlikeTraining(self._checked, self._below, label, psnr)
        return [*psnrs] if self._all else [None] * len(images)
