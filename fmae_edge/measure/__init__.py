"""Measure quality and draw images: what training, evaluation and commands share."""
