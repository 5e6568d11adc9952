"""Build one self-contained HTML page about a bundle: its model, its measurements, and its errors."""
