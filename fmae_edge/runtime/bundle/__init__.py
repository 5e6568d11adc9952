"""A bundle: its manifest, its files, and the checks before anything parses them."""
