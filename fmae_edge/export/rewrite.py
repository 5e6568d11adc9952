"""Rewrite the model, exactly, into layers that onnxruntime runs well."""

import torch
from torch import Tensor, nn

from fmae_edge.train.algebra import conv_of_transposed
from fmae_edge.train.model import Decoder


class ConvDecoder(nn.Module):
    """A decoder with convolutions where the model has stride-1 transposed convolutions: the same function.

    onnxruntime's CPU provider has no int8 ConvTranspose: an int8 decoder that keeps them runs in float.
    """

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.grid = decoder.grid
        self.dense = decoder.dense
        self.convs = nn.ModuleList(conv_from_transposed(layer) for layer in decoder.transposed)
        self.upsample = decoder.upsample

    def forward(self, latents: Tensor) -> Tensor:
        """(N, latent_size) -> (N, channels, size, size) pixels in [0, 1]."""
        x = self.dense(latents).unflatten(1, self.grid)
        for conv in self.convs[:-1]:
            x = self.upsample(torch.relu(conv(x)))
        return torch.sigmoid(self.convs[-1](x))


def conv_from_transposed(layer: nn.Module) -> nn.Conv2d:
    """Return the convolution that equals `layer`, a 3x3 transposed convolution with stride 1 and padding 1.

    Raises ValueError for any other layer: the identity does not hold for it.
    """
    if not isinstance(layer, nn.ConvTranspose2d) or _geometry(layer) != ((3, 3), (1, 1), (1, 1), (1, 1), 1):
        raise ValueError(f"only 3x3, stride 1, padding 1 is rewritten, got {layer}")
    conv = nn.Conv2d(layer.in_channels, layer.out_channels, 3, padding=1, bias=layer.bias is not None)
    conv.weight = nn.Parameter(conv_of_transposed(layer.weight).detach().clone())
    conv.bias = layer.bias
    return conv


def _geometry(layer: nn.ConvTranspose2d) -> tuple[object, ...]:
    return layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.groups
