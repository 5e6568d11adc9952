"""Draw letters in all installed fonts: gray images of 32x32 pixels, in the manner of notMNIST (Bulatov, 2011).

    apt-get install --no-install-recommends $(cat scripts/letter_fonts.txt)
    python scripts/make_letters.py letters

Each letter is white on black and fills 28 pixels in its longer direction. Fonts without the letters A to Z and a
to z, and fonts that draw many of them alike, are left out. Fonts whose family names start with the same word, such
as Noto Sans and Noto Serif, are all in `train` or all in `holdout`: a tenth of these words, chosen by their hash.
So a codec is measured on fonts that it has never seen.
"""

import argparse
import hashlib
import string
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

FONT_FOLDER = Path("/usr/share/fonts")
SUFFIXES = (".ttf", ".otf")
SIDE, LETTER_SIDE = 32, 28  # pixels
LETTERS = string.ascii_uppercase + string.ascii_lowercase
HOLDOUT = 0.1  # share of the first words of family names
_POINTS = 96  # of the first drawing, which is then made smaller
_MARGIN = 2 * _POINTS
_FEWEST_SHAPES = 40  # of the 52 letters: others have no lower case or draw boxes


def letters_of(path: Path) -> tuple[str, list[Image.Image]] | None:
    """Return the family of a font and its letters, or None if it lacks some."""
    try:
        font = ImageFont.truetype(path, _POINTS)
        drawn = [draw(font, letter) for letter in LETTERS]
    except (OSError, ValueError):  # not a scalable font, or an empty letter
        return None
    if len({image.tobytes() for image in drawn}) < _FEWEST_SHAPES:
        return None
    return str(font.getname()[0]), drawn


def draw(font: ImageFont.FreeTypeFont, letter: str) -> Image.Image:
    """Return `letter` in the middle of a black square. Raises ValueError if it is empty."""
    left, top, right, bottom = font.getbbox(letter)
    if right - left < 1 or bottom - top < 1 or max(right - left, bottom - top) > 10 * _POINTS:
        raise ValueError(letter)
    large = Image.new("L", (int(right - left) + _MARGIN, int(bottom - top) + _MARGIN))
    ImageDraw.Draw(large).text((_MARGIN // 2 - left, _MARGIN // 2 - top), letter, 255, font)
    box = large.getbbox()
    if box is None:
        raise ValueError(letter)
    cut = large.crop(box)
    scale = LETTER_SIDE / max(cut.size)
    size = tuple(max(1, round(side * scale)) for side in cut.size)
    square = Image.new("L", (SIDE, SIDE))
    square.paste(cut.resize((size[0], size[1]), Image.Resampling.BOX), tuple((SIDE - side) // 2 for side in size))
    return square


def is_held_out(family: str) -> bool:
    """Return whether the letters of a family are in `holdout`."""
    first_word = family.split()[0] if family.strip() else ""
    return int.from_bytes(hashlib.sha256(first_word.encode()).digest()[:8]) < HOLDOUT * 2**64


def fonts(folder: Path) -> Iterator[tuple[Path, str, list[Image.Image]]]:
    """Yield each usable font below `folder` with its family and letters, in the order of their paths."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    with ProcessPoolExecutor() as pool:
        for path, found in zip(paths, pool.map(letters_of, paths, chunksize=8), strict=True):
            if found is not None:
                yield path, *found


def main() -> None:
    """Write the images of all letters, one PNG file each, below a new folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="new folder for the images")
    parser.add_argument(
        "--fonts", type=Path, default=FONT_FOLDER, help=f"folder of fonts, by default {FONT_FOLDER}"
    )
    options = parser.parse_args()
    if options.folder.exists():
        sys.exit(f"{options.folder}: already exists; name a new folder")
    counts = {"train": 0, "holdout": 0}
    families: dict[str, set[str]] = {side: set() for side in counts}
    for path, family, drawn in fonts(options.fonts):
        side = "holdout" if is_held_out(family) else "train"
        folder = options.folder / side / path.relative_to(options.fonts)
        folder.mkdir(parents=True)
        for letter, image in zip(LETTERS, drawn, strict=True):
            image.save(folder / f"{'upper' if letter.isupper() else 'lower'}-{letter}.png")
        counts[side] += len(drawn)
        families[side].add(family)
    if not all(counts.values()):
        sys.exit(f"{options.fonts}: too few fonts with Latin letters; install some, for example with apt-get")
    for side, count in counts.items():
        print(f"{options.folder / side}: {count} letters of {len(families[side])} font families")


if __name__ == "__main__":
    main()
