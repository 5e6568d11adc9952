"""Print what compression cost and kept: `python samples/compare.py ORIGINALS DECODED`.

ORIGINALS holds NAME.png; DECODED holds NAME.fmae and NAME.png, as `fmae-edge compress` and
`fmae-edge decompress` wrote them. The picture goes to DECODED/reconstructions.png.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from fmae_edge.commands.console import format_table
from fmae_edge.measure.figure import draw_reconstructions
from fmae_edge.measure.quality import measure_quality

originals_folder, decoded_folder = map(Path, sys.argv[1:])
originals, decoded, qualities, rows = [], [], [], []
for path in sorted(originals_folder.glob("*.png")):
    compressed, reconstruction = decoded_folder / f"{path.stem}.fmae", decoded_folder / path.name
    before, after = (np.asarray(Image.open(file)) for file in (path, reconstruction))
    quality = measure_quality(before[None] / 255, after[None] / 255)
    rows.append(
        (
            path.name,
            str(path.stat().st_size),
            str(compressed.stat().st_size),
            f"{quality.psnr_pooled:.2f} dB",
            f"{quality.ssim:.4f}",
        )
    )
    originals.append(before)
    decoded.append(after)
    qualities.append(quality)
print(format_table(("file", "PNG bytes", ".fmae bytes", "PSNR", "SSIM"), rows))
picture = decoded_folder / "reconstructions.png"
draw_reconstructions(np.stack(originals), np.stack(decoded), qualities).save(picture)
print(f"wrote {picture}")
