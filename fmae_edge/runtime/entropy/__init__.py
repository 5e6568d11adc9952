"""The entropy coder: an integer prior, a range coder, and the search for cheaper symbols."""
