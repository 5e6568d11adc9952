"""The settings of general codecs that are always measured on images of Fashion-MNIST."""

from fmae_edge.evaluate.codec_settings import general_ladders

_LADDERS = general_ladders((28, 28))
LOSSY_CODECS = [rung for ladder in _LADDERS for rung in ladder.rungs[: ladder.fewest] if not rung.lossless]
LOSSLESS_CODECS = [rung for ladder in _LADDERS for rung in ladder.rungs if rung.lossless]
