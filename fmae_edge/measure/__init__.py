"""Measure quality and draw images, for training, export, evaluation and the commands."""
