"""One self-contained page of a bundle: what it is, what was measured of it, and where it errs."""
