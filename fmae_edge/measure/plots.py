"""Plots drawn with matplotlib, as PNG files."""

import io

from matplotlib.figure import Figure


def png_of(figure: Figure) -> bytes:
    """Return `figure` as a PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120, metadata={"Software": None})
    return stream.getvalue()
