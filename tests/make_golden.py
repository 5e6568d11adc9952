"""Write tests/data/golden.npz anew, after the shipped bundle was changed: `python tests/make_golden.py`."""

from pathlib import Path

import numpy as np
from PIL import Image

from fmae_edge import Codec

here = Path(__file__).parent
images = np.stack([np.asarray(Image.open(path)) for path in sorted((here.parent / "samples").glob("*.png"))])
codec = Codec(precision="fp32")
latents = codec.encode(images)
np.savez(
    here / "data" / "golden.npz",
    images=images,
    latents=latents,
    symbols=codec.encode(images, dtype="int8"),
    decoded=codec.decode(latents),
)
