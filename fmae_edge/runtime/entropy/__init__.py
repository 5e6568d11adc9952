"""The entropy coder: a prior in integers, a range coder, and the search for cheaper symbols."""
