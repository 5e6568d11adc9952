"""Make the first inputs of the corpus: small image files of every kind that the readers know."""

import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fmae_edge.data.image_file import png_bytes
from fuzz.image_parts import interlaced_rows, png, png_chunk, saved
from fuzz.tiff import Entry, Frame, Tiff, number_entry, parse_tiff, tiff_bytes

_ORIENTATION, _ROWS = 274, 278  # of a strip


def image_files(image: NDArray[np.uint8]) -> Iterator[tuple[str, bytes]]:
    """Yield PNG files of each kind, and one file of each other format that the command line reads."""
    gray = Image.fromarray(image)
    yield "gray.png", png_bytes(image)
    yield "interlaced.png", png(png_chunk(b"IDAT", zlib.compress(interlaced_rows(image), 9)), interlaced=True)
    rgb = gray.convert("RGB")
    rgba = rgb.copy()
    rgba.putalpha(gray)
    kinds = {
        "one-bit": gray.convert("1"),
        "palette": rgb.quantize(16),
        "gray-16": Image.fromarray(image.astype(np.uint16) * 257),
        "gray-alpha": rgba.convert("LA"),
        "rgb": rgb.quantize(8).convert("RGB"),
        "rgba": rgba.quantize(8).convert("RGBA"),
        "small": gray.resize((5, 3)),
    }
    for name, kind in kinds.items():
        yield f"{name}.png", saved(kind, "PNG", optimize=True)
    yield "palette-transparent.png", saved(rgb.quantize(16), "PNG", transparency=0)
    yield "gray-transparent.png", saved(gray, "PNG", transparency=0)
    yield "text.png", saved(gray.resize((5, 3)), "PNG", dpi=(72, 72), exif=Image.Exif(), icc_profile=b"icc")
    frames = [gray.resize((7, 7)), gray.resize((7, 7)).rotate(90)]
    yield "animated.png", saved(frames[0], "PNG", save_all=True, append_images=frames[1:])
    for kind in ("WEBP", "BMP", "GIF", "PPM"):
        yield f"gray.{kind.lower()}", saved(gray, kind)
    for kind in ("WEBP", "GIF"):
        yield f"animated.{kind.lower()}", saved(rgb, kind, save_all=True, append_images=[rgb.rotate(90)] * 2)
    yield "lossless.webp", saved(rgba, "WEBP", lossless=True, exif=_turned())
    yield "palette.bmp", saved(rgb.quantize(16), "BMP")
    yield "rgb.bmp", saved(rgb.resize((9, 9)), "BMP")
    yield "gray-16.pgm", saved(kinds["gray-16"], "PPM")
    yield "one-bit.pbm", saved(kinds["one-bit"], "PPM")


def jpeg_files(image: NDArray[np.uint8]) -> Iterator[tuple[str, bytes]]:
    """Yield JPEG files: baseline and progressive, gray and in colours, with restarts, EXIF, and a second image."""
    gray = Image.fromarray(image)
    rgb = Image.merge("RGB", (gray, gray.rotate(90), gray.rotate(180)))
    yield "gray.jpeg", saved(gray, "JPEG")
    yield "colour.jpeg", saved(rgb, "JPEG", quality=50)
    yield "full-chroma.jpeg", saved(rgb, "JPEG", subsampling=0, quality=30, optimize=True)
    yield "progressive.jpeg", saved(rgb, "JPEG", progressive=True, quality=30)
    yield "progressive-gray.jpeg", saved(gray, "JPEG", progressive=True)
    yield "restart.jpeg", saved(gray, "JPEG", restart_marker_blocks=1)
    yield "cmyk.jpeg", saved(rgb.convert("CMYK"), "JPEG", quality=20)
    yield "turned.jpeg", saved(gray, "JPEG", exif=_turned(), quality=20)
    yield (
        "profile.jpeg",
        saved(gray.resize((5, 3)), "JPEG", icc_profile=b"icc" * 9, comment=b"text", dpi=(72, 72)),
    )
    yield "two.mpo", saved(gray, "MPO", save_all=True, append_images=[gray.rotate(90)])


def tiff_files(image: NDArray[np.uint8]) -> Iterator[tuple[str, bytes]]:
    """Yield TIFF files: each compression and kind of pixel, in strips and tiles, of several frames, BigTIFF."""
    gray = Image.fromarray(image)
    rgb = Image.merge("RGB", (gray, gray.rotate(90), gray.rotate(180)))
    rgba = rgb.copy()
    rgba.putalpha(gray)
    yield "gray.tiff", saved(gray, "TIFF")
    for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        yield f"{name.removeprefix('tiff_')}.tiff", saved(gray, "TIFF", compression=name)
    for name in ("group3", "group4", "tiff_ccitt"):
        yield f"{name}.tiff", saved(gray.convert("1"), "TIFF", compression=name)
    yield "rgb-jpeg.tiff", saved(rgb, "TIFF", compression="jpeg")
    yield "rgb-lzw.tiff", saved(rgb, "TIFF", compression="tiff_lzw", tiffinfo={317: 2})
    yield "rgba.tiff", saved(rgba, "TIFF", compression="tiff_adobe_deflate")
    yield "gray-16.tiff", saved(Image.fromarray(image.astype(np.uint16) * 257), "TIFF")
    yield "palette.tiff", saved(rgb.quantize(16), "TIFF")
    yield "cmyk.tiff", saved(rgb.convert("CMYK"), "TIFF", compression="tiff_lzw")
    yield "float.tiff", saved(gray.convert("F"), "TIFF", compression="tiff_lzw")
    yield "turned.tiff", saved(gray.resize((5, 3)), "TIFF", tiffinfo={274: 6, 270: "text", 34675: b"icc"})
    yield "frames.tiff", saved(gray, "TIFF", save_all=True, append_images=[gray.rotate(90), gray.resize((3, 3))])
    big = saved(rgb.resize((9, 7)), "TIFF", big_tiff=True)
    yield "big.tiff", big
    (frame,) = parse_tiff(saved(gray, "TIFF")).frames
    yield "big-endian.tiff", tiff_bytes(Tiff(">", False, [_rewritten(frame, ">", tiles=0)]))
    rows = [image[at : at + 4].tobytes() for at in range(0, len(image), 4)]
    strips = Frame(frame.entries | {_ROWS: number_entry("<", 4)}, rows)
    yield "strips.tiff", tiff_bytes(Tiff("<", False, [strips]))
    yield "tiles.tiff", tiff_bytes(Tiff("<", False, [_rewritten(frame, "<", tiles=16)]))
    yield "large-tile.tiff", tiff_bytes(Tiff("<", False, [_rewritten(frame, "<", tiles=1024)]))


def _rewritten(frame: Frame, order: str, tiles: int) -> Frame:
    """Return a frame of 8-bit gray in another byte order, with the same strips or with empty tiles."""
    numbers = {256: 28, 257: 28, 258: 8, 259: 1, 262: 1, 277: 1}
    entries = {tag: number_entry(order, number) for tag, number in numbers.items()}
    if not tiles:
        return Frame(entries | {tag: frame.entries[tag] for tag in (273, 279)}, frame.strips)
    tile, across = bytes(tiles * tiles), -(-28 // tiles)
    packed = zlib.compress(tile)
    entries |= {259: number_entry(order, 8), 322: number_entry(order, tiles), 323: number_entry(order, tiles)}
    empty = Entry(4, 0, b"")
    return Frame(entries | {324: empty, 325: empty}, [packed] * across**2)


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    return exif
