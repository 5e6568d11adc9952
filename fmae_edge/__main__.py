"""`python -m fmae_edge` is the command `fmae-edge`; torchrun needs a module."""

from fmae_edge.cli import run

run()
