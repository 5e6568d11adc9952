"""Packets of many images: a folder of them, and the images of received ones."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from fmae_edge.bulk.decoded_results import DecodedResults
from fmae_edge.bulk.join import Part, Pixels, RefusedPartsError, Written
from fmae_edge.bulk.outputs import Outputs
from fmae_edge.bulk.run import Closing, Outcome
from fmae_edge.bulk.sources import Source, named, read
from fmae_edge.runtime.codec import Codec
from fmae_edge.runtime.errors import FmaeError, InputError, OutputError
from fmae_edge.runtime.format.packet import MAX_PACKET_BYTES, SUFFIX
from fmae_edge.runtime.packet_set import Packet, PacketSet
from fmae_edge.runtime.packet_writer import ImagesTooLargeError

_DIGITS = 4  # of a number: a set has at most 4,096 images


class PacketFolder:
    """A new set of packets in a folder; `compress` returns the packets of all images, `decoded` checks them."""

    def __init__(
        self,
        path: Path,
        outputs: Outputs,
        codec: Codec,
        compress: Callable[[Pixels], list[bytes]],
        decoded: DecodedResults,
    ) -> None:
        self.path = path
        self._outputs, self._codec, self._compress, self._decoded = outputs, codec, compress, decoded
        self._images: list[int] = []  # in each packet
        self._bytes = 0

    def prepare(self) -> bool:
        """Return True. Raises OutputError if packets certainly cannot be written."""
        self._outputs.rehearse(self._file(0))
        return True

    def write(self, parts: Sequence[Part]) -> Written:
        """Write the packets. Raises RefusedPartsError for images that are too large for a packet."""
        sources = [source for source, _ in parts]
        images = np.concatenate([images for _, images in parts])
        try:
            packets = self._compress(images)
        except ImagesTooLargeError as error:
            raise RefusedPartsError(
                {sources[number]: _named(sources[number], each) for number, each in error.errors.items()}
            ) from None
        files = [self._file(number) for number in range(len(packets))]
        if self.path.is_dir():
            others = {file.name for file in self.path.glob(f"packet-*{SUFFIX}")} - {file.name for file in files}
            if others:
                raise OutputError(
                    f"{self.path}: has {min(others)} of another set; use another folder, or remove its packets"
                )
        for file in files:
            self._outputs.claim(file)
        labels: list[str] = []
        status: Literal["done", "planned", "skipped"] = "done"
        psnrs = self._decoded.psnrs_of_packets(sources, images, packets)
        firsts = [*map(self._codec.packets.first_number, packets), len(images)]
        for file, content, (first, following) in zip(files, packets, pairwise(firsts), strict=True):
            status = self._outputs.write(file, content)
            count = following - first
            labels += [f"{file}[{row}]" for row in range(count)]
            self._images.append(count)
            self._bytes += len(content)
        return Written(status, labels, psnrs)

    def closing(self) -> Closing | None:
        """Return how many packets were written, None if none were."""
        if not self._images:
            return None
        images, packets = sum(self._images), len(self._images)
        sentence = f"{_count(images, 'image')} in {_count(packets, 'packet')}, {self._bytes} bytes in all"
        if packets > 1:
            least, most = min(self._images), max(self._images)
            sentence += f": {images / packets:.2f} images per packet, from {least} to {most}"
        return Closing(sentence, {"images": images, "packets": packets})

    def _file(self, number: int) -> Path:
        return self._outputs.path(Source(Path(f"packet-{number:0{_DIGITS}d}{SUFFIX}")))


def _named(source: Source, error: FmaeError) -> InputError:
    named_error = InputError(f"{source}: {error}")
    named_error.__cause__ = error  # whose argument the command line spells as an option
    return named_error


class ReceivedPackets:
    """The packets of a run, in the order in which they are read."""

    def __init__(self, codec: Codec) -> None:
        self._codec, self._set = codec, PacketSet()
        # By id: a group that failed asks for its packets again, and a file that is named twice gives two packets
        self._new: dict[int, tuple[Packet, list[int]]] = {}

    def load(self, source: Source) -> Packet:
        """Read and parse a packet. Raises InputError if it is damaged."""
        content = read(source, MAX_PACKET_BYTES)
        with named(source):
            return self._codec.packets.parse(content)

    def images(self, source: Source, packet: Packet) -> Iterator[tuple[int, int, Pixels]] | Outcome:
        """Return the images of a packet that are new: row in the packet, number in the set, and pixels of each.

        If none is new, returns the outcome. Raises InputError if the packet is of another set.
        """
        if id(packet) not in self._new:
            with named(source):
                self._new[id(packet)] = packet, self._set.add(packet)
        _, new = self._new[id(packet)]
        if not new:
            return Outcome(str(source), None, "skipped", notes=("its images are in other packets",))
        rows = [number - packet.first for number in new]
        return zip(rows, new, self._codec.packets.decode(self._set, new), strict=True)

    def closing(self) -> Closing | None:
        """Return which images are missing, None if there were no packets."""
        if not self._new:
            return None
        numbers, missing, total = self._set.numbers, self._set.missing, self._set.total
        images = _count(len(numbers), "image") if total is None else f"{len(numbers)} of {_count(total, 'image')}"
        sentence = f"{images} from {_count(len(self._new), 'packet')}"
        if missing:
            sentence += f"; missing: {_ranges(missing)}"
        if total is None:
            sentence += f"; the last packet of the set is not here, so there may be images after {numbers[-1]}"
        elif not missing:
            sentence += ", none missing"
        return Closing(sentence, {"images": len(numbers), "missing": list(missing), "total": total})


def image_stem(number: int) -> str:
    """Return the name of image `number` of a set, without a suffix."""
    return f"image-{number:0{_DIGITS}d}"


def is_packet(source: Source) -> bool:
    """Return whether a file is a packet, by its name: nothing in a packet says what it is."""
    return source.path.suffix.lower() == SUFFIX


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _ranges(numbers: Sequence[int]) -> str:
    """Return increasing numbers for people: 1, 3 to 5."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in spans)
