"""A bundle: its manifest, its files, and what is checked before anything parses them."""
