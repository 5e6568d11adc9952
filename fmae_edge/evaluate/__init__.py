"""Measure quality: how close reconstructions are to their originals."""
