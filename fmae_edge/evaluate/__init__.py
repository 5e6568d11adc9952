"""Compare a bundle with other codecs, measure its speed, and report on it. Needs no PyTorch."""
