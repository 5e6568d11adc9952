"""Compute the autoencoder in fewer operations, for training.

Each function equals the forward pass of its module up to rounding, and gradients reach the weights.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from fmae_edge.model.algebra import conv_of_transposed, dense_then_conv, merge_upsampling, upsample_then_conv
from fmae_edge.model.autoencoder import Autoencoder, Decoder, Encoder, to_pixels
from fmae_edge.model.config import ModelConfig

_PIXELS_AT_ONCE = 500 * 28 * 28  # bounds memory


def fast_autoencode(model: Autoencoder, images: Tensor) -> Tensor:
    """Return model(images), up to rounding."""
    return fast_decode(model.decoder, fast_encode(model.encoder, images))


def fast_encode(encoder: Encoder, images: Tensor) -> Tensor:
    """Return encoder(images). max_pool(relu(x)) = relu(max_pool(x)), which clips a quarter of the values."""
    x = encoder.padded(images)
    for conv in encoder.convs[:-1]:
        x = torch.relu(max_pool2d(conv(x), 2))
    x = torch.relu(encoder.convs[-1](x))
    return encoder.dense(x.flatten(1))


def encode_all(model: Autoencoder, images: Tensor) -> Tensor:
    """Return the latents (N, latent_size) of uint8 images (N, height, width[, 3]), computed in batches.

    They are on the device of the model; the images may be elsewhere.
    """
    model.eval()
    device = model.encoder.dense.weight.device
    latents = torch.empty(len(images), model.config.latent_size, device=device)
    at_once = images_at_once(model.config)
    with torch.inference_mode():
        for batch, encoded in zip(images.split(at_once), latents.split(at_once), strict=True):
            encoded.copy_(fast_encode(model.encoder, to_pixels(batch.to(device))))
    return latents


def images_at_once(config: ModelConfig) -> int:
    """Return how many images the model should compute at once: 500 of 28x28 pixels, fewer of larger ones."""
    return max(1, _PIXELS_AT_ONCE // (config.height * config.width))


@dataclass(frozen=True)
class PackedDecoder:
    """The merged layers of a decoder, to decode more than one batch with the same weights.

    The dense layer and the first transposed convolution are one dense layer. Each upsampling is merged with the
    convolution after it.
    """

    decoder: Decoder
    first: Tensor  # (latent_size + 1, height, width, channels); the last row is the bias of the dense layer
    first_bias: Tensor  # (channels,)
    others: tuple[tuple[Tensor, Tensor], ...]  # merged kernel and bias of each layer

    @classmethod
    def of(cls, decoder: Decoder) -> "PackedDecoder":
        """Merge the layers of `decoder`. Gradients flow back to its weights."""
        (first_kernel, first_bias), *others = map(_as_convolution, decoder.transposed)
        folded = dense_then_conv(decoder.dense.weight, decoder.dense.bias, decoder.grid, first_kernel)
        folded = folded.permute(0, 2, 3, 1)  # channels last is the fastest layout for the other layers
        merged = tuple((merge_upsampling(kernel), bias) for kernel, bias in others)
        return cls(decoder, folded, first_bias, merged)

    def decode(self, latents: Tensor) -> Tensor:
        """Return decoder(latents), up to rounding, in about half the multiply-adds."""
        rows = self.first.flatten(1)
        x = torch.addmm(rows[-1], latents, rows[:-1]).unflatten(1, self.first.shape[1:]) + self.first_bias
        x = x.permute(0, 3, 1, 2)
        for merged, bias in self.others:
            x = upsample_then_conv(torch.relu(x), merged, bias)
        return torch.sigmoid(self.decoder.cropped(x).float())  # float32 for the loss, even under autocast


def fast_decode(decoder: Decoder, latents: Tensor) -> Tensor:
    """Return decoder(latents), up to rounding, in about half the multiply-adds."""
    return PackedDecoder.of(decoder).decode(latents)


def _as_convolution(transposed: nn.Module) -> tuple[Tensor, Tensor]:
    """Return the kernel and bias of the convolution that equals `transposed`."""
    return conv_of_transposed(cast(Tensor, transposed.weight)), cast(Tensor, transposed.bias)
