"""Decode image files to the arrays that the codec takes, and encode arrays as image files, with Pillow.

Files are untrusted, so anything that could take more time or memory than the pixels is checked before Pillow reads
it.
"""

import io
import logging
import struct
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile

from fmae_edge.data import image_checks, tiff_check
from fmae_edge.data.image_conversion import Channels, Fit, Note, to_pixels
from fmae_edge.data.image_limits import MAX_PIXELS, MAX_SIDE, max_bytes
from fmae_edge.runtime.errors import InputError

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
_PNM_HEADER_BYTES = 1 << 16  # Pillow reads the header byte by byte
# Pillow decodes some files in Python: text, run lengths of BMP, PNM with unusual levels. Real ones are small.
_MAX_SLOW_PIXELS, _MAX_SLOW_BYTES, _MAX_SLOW_COMMENTS = 4_000_000, 1 << 24, 100
# Set at import, because threads share these settings. Errors, not warnings, report what is wrong with a file
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())
_DEEP = 16  # bits per channel of a PNG, of which Pillow drops the lower half for RGB
_ORIENTATION, _ON_ITS_SIDE = 0x0112, 5  # the EXIF tag, and the first value that swaps width and height
# `ImageOps.exif_transpose` is not used: it rewrites all EXIF, with directories that nothing has checked
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class SizeError(InputError):
    """The image does not have the size that the codec takes, but could be resized.

    `size` is its (height, width).
    """

    def __init__(self, message: str, size: tuple[int, int]) -> None:
        super().__init__(message)
        self.size = size


def load_image(
    content: bytes, where: str, size: tuple[int, int], channels: Channels | None = 1, fit: Fit | None = None
) -> tuple[NDArray[np.uint8], list[Note]]:
    """Decode an image file to uint8, and return it with notes on conversions.

    With 1 of `channels`, the result is (height, width) gray levels; with 3, it is (height, width, 3) RGB; with
    None, it is gray if the image has no colours, otherwise RGB. `size` is (height, width). `fit` says how an image
    of another size is changed: "resize" stretches it, "crop" scales it to cover the size and cuts out its centre,
    "pad" scales it to fit inside and adds black. `where` names the file in messages.

    Raises SizeError for another size without `fit`. Raises InputError if the file is damaged, is not an image, or
    would take far more time or memory than images of its size do.
    """
    try:
        _check_parts(content, where)
        image = _open(content)
        orientation = _orientation(image, where)
        _check_size(image.size[::-1] if _is_sideways(image, orientation) else image.size, where, size, fit)
        _check_bytes(content, image, where)
        if image.format == "PNG":
            image_checks.check_png(content, where)
            _scale_transparency(image, content)
        image.load()
        if image.format == "PNG":
            orientation = _orientation(image, where)  # EXIF may come after the pixels
        notes: list[Note] = []
        if getattr(image, "is_animated", False):
            notes.append(Note("only the first frame is used", "animated"))
        if orientation != 1:
            notes.append(Note("EXIF orientation applied", "rotated"))
            if image.format != "TIFF":  # which Pillow has already turned
                image = image.transpose(_TURNS[orientation])
            _check_size(image.size, where, size, fit)
        deep = image.format == "PNG" and content[image_checks.PNG_DEPTH_AT] == _DEEP
        if deep and channels != 1 and image.mode.startswith("RGB"):
            notes.append(Note("16-bit channels converted to 8-bit", "reduced_to_8_bits"))
        return to_pixels(image, where, size, channels, fit, notes), notes
    except (InputError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise InputError(
            f"{where}: the image has more pixels than the limit of {MAX_PIXELS // 10**6} megapixels"
        ) from None
    except UnidentifiedImageError:
        raise InputError(f"{where}: not an image file of a known format, or its start is damaged") from None
    except Exception as error:  # decoders raise many kinds of errors for damaged files
        raise InputError(f"{where}: the image is truncated or damaged ({error})") from None


def image_size(content: bytes, where: str) -> tuple[int, int]:
    """Return the (height, width) that an image file says it has, without decoding its pixels.

    Raises InputError if it is not an image file.
    """
    try:
        _check_parts(content, where)
        image = _open(content)
        width, height = image.size[::-1] if _is_sideways(image, _orientation(image, where)) else image.size
        return height, width
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise InputError(f"{where}: not an image file of a known format, or its start is damaged") from error


def _is_sideways(image: Image.Image, orientation: int) -> bool:
    """Return whether the orientation swaps width and height. Pillow has already done so for a TIFF."""
    return orientation >= _ON_ITS_SIDE and image.format != "TIFF"


def _check_parts(content: bytes, where: str) -> None:
    """Raise InputError for a file with too many parts: Pillow handles each in Python, which takes a long time."""
    if content.startswith(image_checks.JPEG_START):
        image_checks.check_jpeg(content, where)
    elif content.startswith(image_checks.GIF_STARTS):
        image_checks.check_gif(content, where)
    elif content.startswith(tiff_check.TIFF_STARTS):
        tiff_check.check_tiff(content, where)
        tiff_check.silence_libtiff()
    elif content.startswith(image_checks.PNG_START):
        image_checks.check_png_parts(content, where)
    elif content.startswith(b"P") and len(content) > _PNM_HEADER_BYTES:
        _open(content[:_PNM_HEADER_BYTES])


def _check_bytes(content: bytes, image: Image.Image, where: str) -> None:
    """Raise InputError for a file that is too large for its image, or that Pillow decodes too slowly."""
    most, pixels = max_bytes(*image.size), image.width * image.height
    if len(content) > most:
        raise InputError(
            f"{where}: the file has {len(content)} bytes, more than the limit of {most} bytes for an image of "
            f"{image.width}x{image.height}"
        )
    decoder = image.tile[0][0] if isinstance(image, ImageFile.ImageFile) and image.tile else ""
    if decoder in Image.DECODERS and (
        pixels > _MAX_SLOW_PIXELS
        or len(content) > min(_MAX_SLOW_BYTES, (1 << 16) + 16 * pixels)
        or (decoder == "ppm_plain" and content.count(b"#") > _MAX_SLOW_COMMENTS)
    ):
        raise InputError(f"{where}: the image is too large for its file format; save it as PNG")


def _open(content: bytes) -> Image.Image:
    """Open an image, a PNG with its own class: `Image.open` would first import the classes of many formats."""
    if content.startswith(image_checks.PNG_START):
        try:
            return PngImageFile(io.BytesIO(content))
        except ValueError:  # too much text or too large a colour profile, neither of which is needed
            return PngImageFile(io.BytesIO(image_checks.png_without_text(content)))
        except (SyntaxError, IndexError, TypeError, KeyError, struct.error) as error:
            raise UnidentifiedImageError from error  # as Image.open does
    return Image.open(io.BytesIO(content), formats=_FORMATS)


def png_bytes(image: NDArray[np.uint8]) -> bytes:
    """Encode (height, width[, 3]) uint8 as a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def webp_bytes(image: NDArray[np.uint8]) -> bytes:
    """Encode (height, width[, 3]) uint8 as a lossless WebP file, which stores RGB."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "WEBP", lossless=True)
    return stream.getvalue()


def npy_bytes(images: NDArray[np.uint8]) -> bytes:
    """Encode uint8 images of any shape as a .npy file."""
    stream = io.BytesIO()
    np.save(stream, images, allow_pickle=False)
    return stream.getvalue()


def _scale_transparency(image: Image.Image, content: bytes) -> None:
    """Scale the transparent gray level of a PNG to 8 bits, as Pillow scales pixels of 1, 2 and 4 bits.

    Newer versions of Pillow already do so for 1 bit.
    """
    level, depth = image.info.get("transparency"), content[image_checks.PNG_DEPTH_AT]
    if image.mode in ("1", "L") and isinstance(level, int) and depth < 8:
        image.info["transparency"] = min(level * (255 // (2**depth - 1)), 255)


def _orientation(image: Image.Image, where: str) -> int:
    """Return the EXIF orientation, 1 to 8; 1 (upright) without EXIF and for damaged or hostile EXIF."""
    try:
        if image.format == "TIFF":
            value = getattr(image, "tag_v2", {}).get(_ORIENTATION, 1)
        elif block := _exif_block(image):
            tiff_check.check_exif(block, where)
            value = image.getexif().get(_ORIENTATION, 1)
        else:
            return 1
    except Exception:  # bad metadata does not make the image unreadable
        return 1
    return value if value in range(1, 9) else 1


def _exif_block(image: Image.Image) -> bytes:
    """Return the bytes that Pillow's `getexif` reads; a text chunk of a PNG may contain them as hex digits."""
    text: str = image.info.get("Raw profile type exif", "")
    block: bytes = image.info["exif"] if "exif" in image.info else bytes.fromhex("".join(text.split("\n")[3:]))
    return block


def _check_size(actual: tuple[int, int], where: str, size: tuple[int, int], fit: Fit | None) -> None:
    """Raise SizeError if `actual` (width, height) is not `size` (height, width); InputError if it is too large."""
    height, width = size
    if actual == (width, height):
        return
    problem = f"{where}: the image is {actual[0]}x{actual[1]} and must be {width}x{height}"
    if width != height:
        problem += " (width x height)"  # the sizes of `train` are height x width
    if actual[0] * actual[1] > MAX_PIXELS or max(actual) > MAX_SIDE:
        raise InputError(
            f"{problem}; it is too large to resize; the limits are {MAX_PIXELS // 10**6} megapixels and "
            f"{MAX_SIDE} pixels per side"
        )
    if fit is None:
        raise SizeError(problem, (actual[1], actual[0]))
