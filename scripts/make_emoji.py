"""Make images of emoji from several vendors: RGB, 32x32 pixels, on white.

    npm pack emoji-datasource-google@16.0.0 emoji-datasource-twitter@16.0.0 emoji-datasource-facebook@16.0.0
    python scripts/make_emoji.py emoji emoji-datasource-*.tgz

Each package has a picture of 64x64 pixels per emoji and skin tone, with a transparent background. All pictures
of an emoji, by all vendors and with all skin tones, are in `train` or all in `holdout`: a tenth of the emoji,
chosen by a hash of their code points. So a codec is measured on emoji that it has never seen, in styles that it
knows.
"""

import argparse
import hashlib
import io
import re
import sys
import tarfile
from pathlib import Path

from PIL import Image

HOLDOUT = 0.1  # share of the emoji
_PICTURE = re.compile(r"package/img/([a-z]+)/64/([0-9a-f-]+)\.png")
_SKIN_TONES = {"1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}


def is_held_out(code_points: str) -> bool:
    """Return whether the pictures of an emoji, given as "1f44b-1f3fb", are in `holdout`."""
    without_tones = "-".join(point for point in code_points.split("-") if point not in _SKIN_TONES)
    return int.from_bytes(hashlib.sha256(without_tones.encode()).digest()[:8]) < HOLDOUT * 2**64


def small(picture: bytes, side: int) -> Image.Image:
    """Return a picture on white, made smaller to `side` x `side` pixels."""
    with Image.open(io.BytesIO(picture)) as opened:
        drawn = opened.convert("RGBA")
    white = Image.new("RGBA", drawn.size, "white")
    white.alpha_composite(drawn)
    return white.convert("RGB").resize((side, side), Image.Resampling.BOX)


def main() -> None:
    """Write the pictures of all packages, one PNG file each, below a new folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="new folder for the images")
    parser.add_argument("packages", type=Path, nargs="+", help="files emoji-datasource-*.tgz from npm")
    parser.add_argument("--side", type=int, default=32, choices=(32, 64), help="pixels, by default 32")
    options = parser.parse_args()
    if options.folder.exists():
        sys.exit(f"{options.folder}: already exists; name a new folder")
    counts = {"train": 0, "holdout": 0}
    for package in options.packages:
        with tarfile.open(package) as archive:
            for member in archive:
                matched = _PICTURE.fullmatch(member.name)
                content = archive.extractfile(member) if matched else None
                if matched is None or content is None:
                    continue
                vendor, code_points = matched.groups()
                side = "holdout" if is_held_out(code_points) else "train"
                folder = options.folder / side / vendor
                folder.mkdir(parents=True, exist_ok=True)
                small(content.read(), options.side).save(folder / f"{code_points}.png")
                counts[side] += 1
    if not all(counts.values()):
        sys.exit(f"no pictures in {', '.join(map(str, options.packages))}; expected files emoji-datasource-*.tgz")
    for side, count in counts.items():
        print(f"{options.folder / side}: {count} pictures")


if __name__ == "__main__":
    main()
