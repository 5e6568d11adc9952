"""Build one self-contained page about a bundle: its model, its measurements, and its errors."""
