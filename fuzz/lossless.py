"""Payloads of lossless images, whose compressed streams are complete but hold what no writer writes."""

import lzma
import zlib
from random import Random

_PIXELS = 28 * 28  # of the default bundle
_SETTINGS = {"id": lzma.FILTER_LZMA1, "lc": 0, "lp": 0, "pb": 0, "dict_size": 4096}


def lossless_payload(random: Random) -> bytes:
    """Return a payload, stored in any way: of about as many bytes as an image has, or of far more."""
    size = _PIXELS + random.choice((0, 0, 0, 0, -1, 1, 500, -_PIXELS))
    pixels = random.choice((bytes(size), random.randbytes(size), bytes(range(256)) * 3))
    if random.randrange(32) == 0:
        pixels = bytes(1 << random.randrange(24))
    kind = random.choice((0, 8, 16)) | random.randrange(4) if random.randrange(8) else random.randrange(256)
    match kind & 24:
        case 8:
            stream = zlib.compress(pixels, 1, -15)
        case 16:
            stream = lzma.compress(
                pixels, lzma.FORMAT_RAW, filters=[{**_SETTINGS, "lc": random.choice((0, 0, 3))}]
            )
        case _:
            stream = pixels
    if random.randrange(8) == 0:
        stream = stream[: random.randrange(len(stream) + 1)] + random.randbytes(random.choice((0, 1, 9)))
    return bytes([kind]) + stream
