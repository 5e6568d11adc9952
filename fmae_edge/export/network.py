"""Convert the model to lists of layers as trained; only the order of the features changes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

from torch import Tensor, nn

from fmae_edge.export.layers import (
    Conv,
    Dense,
    Flatten,
    Grid,
    Keep,
    Layer,
    MaxPool,
    PadEdges,
    Sigmoid,
    Unflatten,
    Upsample,
    Weighted,
    matrix,
    multiply_adds,
)
from fmae_edge.model.algebra import conv_of_transposed
from fmae_edge.model.autoencoder import Autoencoder, Decoder, Encoder

Part = Literal["encoder", "decoder"]
PARTS: tuple[Part, ...] = ("encoder", "decoder")
_SHORT_ROW = 27


@dataclass(frozen=True, eq=False)
class Network:
    """Layers of both halves; `image` is (height, width, channels)."""

    encoder: list[Layer]
    decoder: list[Layer]
    image: Grid
    latent_size: int

    def layers(self, part: Part) -> list[Layer]:
        """Return the layers of one half."""
        return self.encoder if part == "encoder" else self.decoder

    def weighted(self, part: Part) -> list[Weighted]:
        """Return the layers of one half that have weights."""
        return [layer for layer in self.layers(part) if isinstance(layer, Dense | Conv)]

    @property
    def faster_in_float(self) -> frozenset[str]:
        """Layers that are not faster in int8, as benchmarks/layer_precision.py measures.

        The only candidate is the first convolution of the encoder. It is faster in float if its rows have at most
        27 numbers, because int8 kernels are slow for short rows. With that of 32x32 RGB in float, the encoder is a
        tenth faster.
        """
        first = self.weighted("encoder")[0]
        return frozenset({f"encoder.{first.name}"} if matrix(first).shape[0] <= _SHORT_ROW else ())

    def multiply_adds(self, part: Part) -> dict[str, int]:
        """Return the multiply-adds of each layer of one half for one image."""
        return multiply_adds(self.layers(part), self.image if part == "encoder" else (self.latent_size,))


def names_in(part: Part, names: Iterable[str]) -> list[str]:
    """Return the `names` of one half without its prefix: "encoder.conv1" becomes "conv1"."""
    return [name.removeprefix(f"{part}.") for name in names if name.startswith(f"{part}.")]


def network_of(model: Autoencoder) -> Network:
    """Return the layers of `model` as it was trained."""
    config = model.config
    return Network(
        encoder_layers(model.encoder),
        decoder_layers(model.decoder),
        (config.height, config.width, config.image_channels),
        config.latent_size,
    )


def encoder_layers(encoder: Encoder) -> list[Layer]:
    """Return the layers of (N, height, width, channels) pixels in [0, 1] -> (N, latent_size)."""
    layers: list[Layer] = [PadEdges(*encoder.padding)] if any(encoder.padding) else []
    for index, module in enumerate(encoder.convs):
        weight, bias = _parameters(module)
        kernel = weight.permute(0, 2, 3, 1)
        layers += [Conv(f"conv{index + 1}", kernel, bias, pad=1, relu=True), MaxPool()]
    layers.pop()  # no pooling after the last
    weight, bias = _parameters(encoder.dense)
    channels, height, width = encoder.grid
    # Permuting the features and the rows of the weights in the same way does not change the result
    rows = weight.t().unflatten(0, encoder.grid).permute(1, 2, 0, 3).flatten(0, 2)
    return [*layers, Flatten((height, width, channels)), Dense("dense", rows, bias)]


def decoder_layers(decoder: Decoder) -> list[Layer]:
    """Return the layers of (N, latent_size) -> (N, height, width, channels) pixels in [0, 1].

    Each stride-1 transposed convolution becomes an equal convolution.
    """
    weight, bias = _parameters(decoder.dense)
    channels, height, width = decoder.grid
    columns = weight.t().unflatten(1, decoder.grid).permute(0, 2, 3, 1).flatten(1)
    features = bias.unflatten(0, decoder.grid).permute(1, 2, 0).flatten()
    layers: list[Layer] = [Dense("dense", columns, features), Unflatten((height, width, channels))]
    for index, module in enumerate(decoder.transposed):
        weight, bias = _parameters(module)
        kernel = conv_of_transposed(weight).permute(0, 2, 3, 1)
        layers += [Conv(f"conv{index + 1}", kernel, bias, pad=1, relu=True), Upsample()]
    last = cast(Conv, layers[-2])
    keep: list[Layer] = [Keep(*decoder.size)] if any(decoder.padding) else []
    return [*layers[:-2], Conv(last.name, last.kernel, last.bias, last.pad), *keep, Sigmoid()]


def _parameters(module: nn.Module) -> tuple[Tensor, Tensor]:
    return cast(Tensor, module.weight).detach(), cast(Tensor, module.bias).detach()
