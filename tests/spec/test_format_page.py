"""spec/format.md and bundle.md are enough to write a reader: this one is written from those pages only."""

import json
import lzma
import zlib

import pytest

from tests.conftest import REPOSITORY

GOLDEN_FOLDER = REPOSITORY / "spec/golden"
GOLDEN = [json.loads((GOLDEN_FOLDER / f"format-{version}/files.json").read_text()) for version in (1, 2)]
FILES = [file for golden in GOLDEN for file in golden["files"]]
LOSSLESS = json.loads((GOLDEN_FOLDER / "format-3/files.json").read_text())["files"]
BUNDLE, LATENTS, STEPS = (GOLDEN[0][key] for key in ("bundle_id", "latents", "steps"))
PACKETS = json.loads((GOLDEN_FOLDER / "packets/files.json").read_text())
DTYPES = {"I8": (1, True), "U8": (1, False), "I16": (2, True), "U16": (2, False), "I32": (4, True)}


def crc16(content):
    value = 0
    for byte in content:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1 ^ (0x1021 if value & 0x8000 else 0)) & 0xFFFF
    return value.to_bytes(2, "big")


class Bits:
    def __init__(self, content, at):
        self.content, self.at, self.bit = content, at, 0

    def next(self):
        bit = self.content[self.at] >> (7 - self.bit) & 1
        self.at, self.bit = (self.at, self.bit + 1) if self.bit < 7 else (self.at + 1, 0)
        return bit

    def whole(self):
        self.at, self.bit = self.at + (self.bit > 0), 0


def read_file(content):
    """Return quality, payloads and names."""
    assert content[0] == 0xFA
    assert content[1] in (0xE1, 0xE2, 0xE3)
    bundle, kind = bytes.fromhex(BUNDLE), content[2]
    many = kind >> 7
    end = 7 if many else 5
    assert content[3:end] == bundle[: end - 3]
    at = end + 6 if many else end + 2

    def varint():
        nonlocal at
        value = place = 0
        while True:
            value, place, at = value | (content[at] & 127) << place, place + 7, at + 1
            if content[at - 1] < 128:
                return value

    if not many:
        assert content[end:at] == crc16(bundle + content[:end] + content[at:])
        assert (len(content) - at) % 8 == kind >> 4
        return kind & 15, [content[at:]], None
    count = varint()
    lengths = []
    if count:
        shortest, k = varint(), content[at]
        bits = Bits(content, at + 1)
        low = [sum(bits.next() << (k - 1 - place) for place in range(k)) for _ in range(count)]
        bits.whole()
        for number in range(count):
            high = 0
            while not bits.next():
                high += 1
            lengths.append(shortest + (high << k | low[number]))
        bits.whole()
        at = bits.at
    names = None
    if kind >> 4 & 1:
        size = varint()
        names = content[at : at + size].decode().split("\0")
        at += size
    assert content[end : end + 2] == crc16(bundle + content[:end] + content[end + 2 : at])
    assert content[end + 2 : end + 6] == zlib.crc32(content[at:]).to_bytes(4, "big")
    payloads = []
    for length in lengths:
        payloads.append(content[at : at + length])
        at += length
    assert at == len(content)
    return kind & 15, payloads, names


def read_tensors(path):
    """Return the numbers of each tensor in a flat list, and its shape."""
    content = path.read_bytes()
    data = 8 + int.from_bytes(content[:8], "little")
    found = {}
    for name, entry in json.loads(content[8:data]).items():
        size, signed = DTYPES[entry["dtype"]]
        places = range(data + entry["data_offsets"][0], data + entry["data_offsets"][1], size)
        numbers = [int.from_bytes(content[at : at + size], "little", signed=signed) for at in places]
        found[name] = numbers, entry["shape"]
    return found


class RangeReader:
    def __init__(self, payload):
        self.payload, self.next = payload + bytes(5), 5
        self.width, self.above = 1 << 40, int.from_bytes(self.payload[:5], "big")

    def position(self):
        return min(self.above // (self.width >> 16), 65535)

    def go_past(self, start, end):
        unit = self.width >> 16
        self.width = unit * (end - start)
        self.above = min(self.above - unit * start, self.width - 1)
        while self.width < 1 << 32:
            byte = self.payload[self.next] if self.next < len(self.payload) else 0
            self.width, self.above, self.next = self.width << 8, self.above << 8 | byte, self.next + 1


def predict(prior, quality, symbols):
    """Return the centres and rows of the group that comes next."""
    rows = prior["tables"][1][0]
    if "centres" in prior:
        centres = prior["centres"][0][(quality - 1) * LATENTS : quality * LATENTS]
        return [(centre, (quality - 1) * LATENTS + latent) for latent, centre in enumerate(centres)]
    step, group, before = STEPS[quality - 1], 0, 0
    while before < len(symbols):
        before += prior[f"groups.{group}.2.weights"][1][1] // 2
        group += 1
    x = [min(max(symbol * step, -2047), 2047) for symbol in symbols]
    for layer in range(3):
        weights, (_, outputs) = prior[f"groups.{group}.{layer}.weights"]
        bias, shift = (prior[f"groups.{group}.{layer}.{part}"][0] for part in ("bias", "shift"))
        first = (quality - 1) * outputs if layer == 0 else 0
        sums = [
            sum(value * weights[row * outputs + out] for row, value in enumerate(x)) + bias[first + out]
            for out in range(outputs)
        ]
        x = [total >> by for total, by in zip(sums, shift, strict=True)]
        if layer < 2:
            x = [min(max(value, 0), 1023) for value in x]
    found = []
    for mean, width in zip(x[: len(x) // 2], x[len(x) // 2 :], strict=True):
        place = mean // step + 8
        width = min(max(width - prior["narrower"][0][quality - 1], 0), rows // 16 - 1)
        found.append((place >> 4, 16 * width + (place & 15)))
    return found


def read_symbols(prior, quality, payload):
    return read_image(prior, quality, RangeReader(payload))


def read_image(prior, quality, reader):
    symbols = []
    while len(symbols) < LATENTS:
        for centre, row in predict(prior, quality, symbols):
            starts = [*prior["tables"][0][row * 64 : row * 64 + 64], 65536]
            position = reader.position()
            column = max(number for number in range(64) if starts[number] <= position)
            reader.go_past(starts[column], starts[column + 1])
            if column == 63:
                position = reader.position()
                reader.go_past(position, position + 1)
                symbols.append(position - 32768)
            else:
                symbols.append(centre + column - 31)
    return symbols


def decompressed(compressor, content, size):
    """Return `size` bytes and nothing after them."""
    if compressor == 0:
        return content
    if compressor == 1:
        stream = zlib.decompressobj(-15)
    else:
        filters = [{"id": lzma.FILTER_LZMA1, "lc": 0, "lp": 0, "pb": 0, "dict_size": max(size, 4096)}]
        stream = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)
    result = stream.decompress(content, size + 1)
    assert stream.eof
    assert not stream.unused_data
    return result


def read_pixels(payload, height, width, channels=1):
    """Return a lossless image as nested lists: rows of pixels, which are lists if there are several channels."""
    how, size = payload[0], channels * height * width
    assert how >> 5 == 0
    residuals = decompressed(how >> 3, payload[1:], size)
    assert len(residuals) == size
    at = iter(residuals)
    planes = []
    for _ in range(channels):
        plane = [[0] * (width + 1) for _ in range(height + 1)]
        for row in range(1, height + 1):
            for column in range(1, width + 1):
                left, up = plane[row][column - 1], plane[row - 1][column]
                median = sorted((left, up, left + up - plane[row - 1][column - 1]))[1]
                plane[row][column] = (next(at) + (0, left, up, median)[how & 3]) % 256
        planes.append([row[1:] for row in plane[1:]])
    if how & 4:
        for plane in (planes[0], planes[2]):
            for row, green in zip(plane, planes[1], strict=True):
                row[:] = [(value + added) % 256 for value, added in zip(row, green, strict=True)]
    if channels == 1:
        return planes[0]
    return [[list(pixel) for pixel in zip(*rows, strict=True)] for rows in zip(*planes, strict=True)]


@pytest.mark.parametrize(
    "golden", FILES, ids=lambda file: f"{file['content'][:4]}-{file['prior']}-{file['quality']}"
)
def test_a_reader_of_the_page_reads_the_golden_files(golden):
    quality, payloads, names = read_file(bytes.fromhex(golden["content"]))
    prior = read_tensors(GOLDEN_FOLDER / f"format-1/{golden['prior']}.safetensors")
    assert quality == golden["quality"]
    assert (names or None) == (golden["names"] or None)
    assert [read_symbols(prior, quality, payload) for payload in payloads] == golden["symbols"]


@pytest.mark.parametrize("golden", LOSSLESS, ids=range(len(LOSSLESS)))
def test_a_reader_of_the_page_reads_lossless_images_and_those_with_their_own_qualities(golden):
    quality, payloads, names = read_file(bytes.fromhex(golden["content"]))
    prior = read_tensors(GOLDEN_FOLDER / "format-1/network.safetensors")
    assert (quality, names) == (0, golden["names"])
    for payload, image in zip(payloads, golden["images"], strict=True):
        own, rest = (0, payload) if golden["single"] else (payload[0], payload[1:])
        assert own == image["quality"]
        if own:
            assert read_symbols(prior, own, rest) == image["symbols"]
        else:
            assert read_pixels(rest, *golden["shape"]) == image["pixels"]


def read_packet(prior, content):
    """Return the number of the first image, the qualities, the symbols, and whether the set ends."""
    assert 4 <= len(content) <= 1024
    header, message = int.from_bytes(content[:2], "big"), content[4:].rstrip(b"\0")
    assert content[2:4] == crc16(bytes.fromhex(BUNDLE) + content[:2] + message)
    reader, qualities, images = RangeReader(message), [], []
    while True:
        quality = header & 15
        if quality == 0:
            quality = min(reader.position() // 7281, 8) + 1
            reader.go_past((quality - 1) * 7281, quality * 7281 if quality < 9 else 65536)
        qualities.append(quality)
        images.append(read_image(prior, quality, reader))
        position = reader.position()
        if position >= 8192:
            reader.go_past(8192, 65536)
            continue
        reader.go_past(*((0, 7168) if position < 7168 else (7168, 8192)))
        assert len(message) <= reader.next - 5 + 1
        assert len(images) <= 255
        assert (header >> 4) + len(images) <= 4096
        return header >> 4, qualities, images, position >= 7168


@pytest.mark.parametrize("golden", PACKETS["packets"], ids=lambda packet: f"{packet['prior']}-{packet['first']}")
def test_a_reader_of_the_page_reads_the_golden_packets(golden):
    prior, content = read_tensors(GOLDEN_FOLDER / f"format-1/{golden['prior']}.safetensors"), golden["packet"]
    expected = (golden["first"], golden["qualities"], golden["symbols"], golden["ends_set"])
    assert read_packet(prior, bytes.fromhex(content)) == expected
    assert read_packet(prior, bytes.fromhex(content).ljust(200, b"\0")) == expected


def test_a_reader_of_the_page_reads_the_golden_payloads():
    for golden in PACKETS["payloads"]:
        prior = read_tensors(GOLDEN_FOLDER / f"format-1/{golden['prior']}.safetensors")
        assert read_symbols(prior, golden["quality"], bytes.fromhex(golden["payload"])) == golden["symbols"]
