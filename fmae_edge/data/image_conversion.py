"""Convert decoded images to the colours and the size that a model takes, with Pillow.

Each conversion adds a note, which is shown to the person whose image it is.
"""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fmae_edge.runtime.errors import InputError

Fit = Literal["resize", "crop", "pad"]
Channels = Literal[1, 3]  # of the result: gray or RGB


class Note(str):
    """A conversion of an image in words, with the `kind` that a record of many images counts it as.

    `size_before` is (height, width) if the size was changed.
    """

    kind: str
    size_before: tuple[int, int] | None

    def __new__(cls, text: str, kind: str = "", size_before: tuple[int, int] | None = None) -> "Note":
        """Make a note; a copy by pickle starts with its text alone."""
        note = super().__new__(cls, text)
        note.kind, note.size_before = kind, size_before
        return note


def to_pixels(
    image: Image.Image,
    where: str,
    size: tuple[int, int],
    channels: Channels | None,
    fit: Fit | None,
    notes: list[Note],
) -> NDArray[np.uint8]:
    """Return `image` as uint8 (height, width) gray levels for 1 of `channels`, (height, width, 3) RGB for 3.

    If `channels` is None, the result is gray for an image without colours, otherwise RGB. `size` is (height,
    width); `fit` says how an image of another size is changed. Extends `notes`. Raises InputError for images of 32
    bits per channel and for LAB.
    """
    gray = channels == 1 or (channels is None and not has_colors(image, where))
    image = to_gray(image, where, notes) if gray else to_rgb(image, where, notes)
    height, width = size
    if image.size != (width, height) and fit is not None:
        change = f"from {image.width}x{image.height} to {width}x{height}"
        words, kind = _CHANGES[fit]
        notes.append(Note(f"{words} {change}", kind, (image.height, image.width)))
        image = _fitted(image, (width, height), fit)
    # np.asarray takes five times as long: it asks the image for each protocol of arrays
    pixels = np.frombuffer(image.tobytes(), np.uint8)
    return pixels.reshape((image.height, image.width) if gray else (image.height, image.width, 3))


_CHANGES = {
    "resize": ("resized", "resized"),
    "crop": ("scaled and cropped", "cropped"),
    "pad": ("scaled and padded with black", "padded"),
}


def _fitted(image: Image.Image, size: tuple[int, int], fit: Fit) -> Image.Image:
    """Return `image` in `size` (width, height): stretched, scaled and cropped, or scaled and padded with black."""
    across, down = size[0] / image.width, size[1] / image.height
    if fit == "resize":
        return image.resize(size, Image.Resampling.LANCZOS)
    if fit == "crop":
        # The centre that covers `size` after scaling
        wide, high = (side / max(across, down) for side in size)
        left, top = (image.width - wide) / 2, (image.height - high) / 2
        box = (max(0.0, left), max(0.0, top), min(left + wide, image.width), min(top + high, image.height))
        return image.resize(size, Image.Resampling.LANCZOS, box)
    scale = min(across, down)
    inside = tuple(
        min(most, max(1, math.floor(side * scale + 0.5))) for side, most in zip(image.size, size, strict=True)
    )
    padded = Image.new(image.mode, size)
    scaled = image.resize((inside[0], inside[1]), Image.Resampling.LANCZOS)
    padded.paste(scaled, ((size[0] - inside[0]) // 2, (size[1] - inside[1]) // 2))
    return padded


def has_colors(image: Image.Image, where: str) -> bool:
    """Return whether any pixel of `image` is not gray, where it is not transparent. Raises as `to_pixels` does."""
    image = _to_8_bits(image, where, [])
    if image.mode in ("1", "L", "LA"):
        return False
    pixels = np.asarray(_on_black(image, []).convert("RGB"))
    return bool((pixels[..., :1] != pixels[..., 1:]).any())


def to_gray(image: Image.Image, where: str, notes: list[Note]) -> Image.Image:
    """Convert `image` to mode L: ITU-R 601 luma, with black where it is transparent, as in Fashion-MNIST."""
    image = _to_8_bits(image, where, notes)
    if image.mode == "L" and not image.has_transparency_data:
        return image
    notes.append(Note(f"{_MODE_NAMES.get(image.mode, image.mode)} converted to grayscale", "converted_to_gray"))
    return _on_black(image, notes).convert("L")


def to_rgb(image: Image.Image, where: str, notes: list[Note]) -> Image.Image:
    """Convert `image` to mode RGB, with black where it is transparent, as `_to_gray` does."""
    image = _to_8_bits(image, where, notes)
    if image.mode == "L" and not image.has_transparency_data:
        notes.append(Note("grayscale converted to RGB", "converted_to_rgb"))
    elif image.mode != "RGB":
        notes.append(Note(f"{_MODE_NAMES.get(image.mode, image.mode)} converted to RGB", "converted_to_rgb"))
    return _on_black(image, notes).convert("RGB")


def _to_8_bits(image: Image.Image, where: str, notes: list[Note]) -> Image.Image:
    """Convert 16-bit gray to mode L, and leave other images as they are.

    Raises InputError for images of 32 bits per channel and for LAB.
    """
    if image.mode == "I" and image.format == "PPM":  # Pillow scales its levels to 16 bits
        image = Image.fromarray(np.asarray(image).astype(np.uint16))
    if image.mode in ("I;16", "I;16L", "I;16B"):
        levels = np.asarray(image).astype(np.uint32)
        notes.append(Note("16-bit gray converted to 8-bit", "reduced_to_8_bits"))
        if isinstance(image.info.get("transparency"), int):
            levels[levels == image.info["transparency"]] = 0
            notes.append(Note("transparent parts made black", "composited"))
        return Image.fromarray(((levels + 128) // 257).astype(np.uint8))  # 65535 / 255 = 257
    if image.mode in ("I", "F"):
        raise InputError(f"{where}: the image has 32 bits per pixel; save it with 8")
    if image.mode == "LAB":
        raise InputError(f"{where}: the image has LAB colours; save it as RGB or grayscale")
    return image


def _on_black(image: Image.Image, notes: list[Note]) -> Image.Image:
    """Return `image` on a black background where it is transparent."""
    if not image.has_transparency_data:
        return image
    notes.append(Note("transparent parts made black", "composited"))
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba).convert("RGB")


_MODE_NAMES = {
    "1": "1-bit",
    "P": "palette",
    "PA": "palette with alpha",
    "LA": "gray with alpha",
    "L": "gray with transparency",
}
