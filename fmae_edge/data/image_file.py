"""Image files to the arrays that the codec takes, and back to PNG, with Pillow."""

import io
import struct
import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile

from fmae_edge.data import png_check
from fmae_edge.runtime.errors import InputError

Fit = Literal["resize"]

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm")
# What --fit resize unpacks at most: a few bytes of PNG can hold gigabytes of pixels.
_MAX_PIXELS, _MAX_SIDE = 64_000_000, 65_535
MAX_FILE_BYTES = 8 * _MAX_PIXELS + (1 << 24)  # four channels of 16 bits as they are, and something around them
warnings.filterwarnings("ignore", module=r"PIL\.")  # once, for threads share it: what is wrong has sentences here
_ORIENTATION, _ON_ITS_SIDE = 0x0112, 5  # the EXIF tag, and from which value on width and height change places


def load_gray(
    content: bytes, where: str, size: tuple[int, int], fit: Fit | None
) -> tuple[NDArray[np.uint8], list[str]]:
    """Decode an image file to (height, width) uint8 and say what had to be converted.

    `size` is (height, width); an image of another size is resized if `fit` says so. `where` names the
    file in messages. Raises InputError if it is no image, damaged, or has another size.
    """
    try:
        image = _open(content)
        _check_size(image.size[::-1] if _orientation(image) >= _ON_ITS_SIDE else image.size, where, size, fit)
        if image.format == "PNG":
            png_check.check_png(content, where)
            _scale_transparency(image, content)
        image.load()
        orientation = _orientation(image)  # which a PNG may say behind its pixels
        notes: list[str] = []
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            notes.append(f"the first of {frames} frames")
        if orientation != 1:
            notes.append("turned as its EXIF orientation says")
            image = ImageOps.exif_transpose(image)
            _check_size(image.size, where, size, fit)
        gray = _to_gray(image, where, notes)
        height, width = size
        if gray.size != (width, height):
            notes.append(f"resized from {gray.width}x{gray.height} to {width}x{height}")
            gray = gray.resize((width, height), Image.Resampling.LANCZOS)
        return np.asarray(gray, np.uint8), notes
    except (InputError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise InputError(f"{where}: the image has more pixels than any that is taken") from None
    except UnidentifiedImageError:
        raise InputError(
            f"{where}: no image file of a known format (PNG, JPEG, WebP, ...), or its start is damaged"
        ) from None
    except Exception as error:  # damaged files raise whatever the decoder stumbles over
        raise InputError(f"{where}: the image is truncated or damaged ({error})") from None


def _open(content: bytes) -> Image.Image:
    """Open a PNG by the one class for it: `Image.open` imports those of many formats first."""
    if content.startswith(png_check.START):
        try:
            return PngImageFile(io.BytesIO(content))
        except ValueError:  # Pillow takes only so much text and colour profile, and nothing here depends on them
            return PngImageFile(io.BytesIO(png_check.without_text(content)))
        except (SyntaxError, IndexError, TypeError, KeyError, struct.error) as error:
            raise UnidentifiedImageError from error  # as Image.open does
    return Image.open(io.BytesIO(content), formats=_FORMATS)


def png_bytes(image: NDArray[np.uint8]) -> bytes:
    """Encode (height, width) uint8 as a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def webp_bytes(image: NDArray[np.uint8]) -> bytes:
    """Encode (height, width) uint8 as a lossless WebP file, which holds it as RGB."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "WEBP", lossless=True)
    return stream.getvalue()


def npy_bytes(images: NDArray[np.uint8]) -> bytes:
    """Encode uint8 images of any shape as a .npy file."""
    stream = io.BytesIO()
    np.save(stream, images, allow_pickle=False)
    return stream.getvalue()


def _scale_transparency(image: Image.Image, content: bytes) -> None:
    """Scale the gray level that a PNG calls transparent to 8 bits, as Pillow does pixels of 2 and 4."""
    level, depth = image.info.get("transparency"), content[png_check.DEPTH_AT]
    if image.mode == "L" and isinstance(level, int) and depth < 8:
        image.info["transparency"] = level * (255 // (2**depth - 1))


def _orientation(image: Image.Image) -> int:
    """Return how a camera was held, as EXIF counts it: 1 for upright, and for no or damaged EXIF."""
    if not {"exif", "Raw profile type exif"} & image.info.keys():
        return 1
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # metadata is nothing to lose an image for
        return 1
    return found if found in range(1, 9) else 1


def _check_size(found: tuple[int, int], where: str, size: tuple[int, int], fit: Fit | None) -> None:
    height, width = size
    if found == (width, height):
        return
    has = f"{where}: the image is {found[0]}x{found[1]} and must be {width}x{height}"
    if found[0] * found[1] > _MAX_PIXELS or max(found) > _MAX_SIDE:
        raise InputError(
            f"{has}; it is too large for --fit resize, which takes {_MAX_PIXELS // 10**6} megapixels and "
            f"{_MAX_SIDE} a side"
        )
    if fit is None:
        raise InputError(f"{has}; --fit resize will resize it")


def _to_gray(image: Image.Image, where: str, notes: list[str]) -> Image.Image:
    """Return `image` in mode L; ITU-R 601 luma for colours, transparency over black like the data set's own."""
    if image.mode == "L" and not image.has_transparency_data:
        return image
    if image.mode == "I" and image.format == "PPM":  # Pillow has scaled its levels to 16 bits
        image = Image.fromarray(np.asarray(image).astype(np.uint16))
    if image.mode in ("I;16", "I;16L", "I;16B"):
        levels = np.asarray(image).astype(np.int64)
        notes.append("16-bit gray converted to 8-bit")
        if isinstance(image.info.get("transparency"), int):
            levels[levels == image.info["transparency"]] = 0
            notes.append("transparent parts put on black")
        return Image.fromarray(((levels + 128) // 257).astype(np.uint8))  # 65535 / 255 = 257
    if image.mode in ("I", "F"):
        raise InputError(f"{where}: the image has 32 bits a pixel; save it with 8")
    if image.mode == "LAB":
        raise InputError(f"{where}: the image has LAB colours; save it as RGB or grayscale")
    notes.append(f"{_MODE_NAMES.get(image.mode, image.mode)} converted to grayscale")
    if image.has_transparency_data:
        notes.append("transparent parts put on black")
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba).convert("RGB")
    return image.convert("L")


_MODE_NAMES = {
    "1": "1-bit",
    "P": "palette",
    "PA": "palette with alpha",
    "LA": "gray with alpha",
    "L": "gray with transparency",
}
