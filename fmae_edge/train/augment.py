"""Change training images at random, in ways that leave them images of the same kind."""

import torch
from torch import Tensor

from fmae_edge.model.recipe import Augment
from fmae_edge.train.processes import Share

_SHIFT = 16  # a shift is at most this part of the side


def augment_batch(
    pixels: Tensor, augment: Augment, generator: torch.Generator, share: Share | None = None
) -> Tensor:
    """Return pixels (N, channels, height, width) changed by random numbers of `generator`, which is on the CPU.

    "flip" mirrors half of the images, left to right. "shift" moves each by up to a sixteenth of the height and of
    the width in each direction, and repeats the pixels at the edges. The pixels may be a `share` of a batch.
    """
    share = share or Share(len(pixels))
    if augment == "flip":
        mirrored = share.take(torch.rand(share.total, generator=generator)) < 0.5
        return torch.where(mirrored.to(pixels.device)[:, None, None, None], pixels.flip(3), pixels)
    if augment == "shift":
        for axis in (2, 3):
            pixels = _shifted(pixels, axis, generator, share)
    return pixels


def _shifted(pixels: Tensor, axis: int, generator: torch.Generator, share: Share) -> Tensor:
    side = pixels.shape[axis]
    most = side // _SHIFT
    offsets = share.take(torch.randint(-most, most + 1, (share.total, 1), generator=generator))
    sources = (torch.arange(side) + offsets).clamp(0, side - 1).to(pixels.device)
    shape = [len(pixels), 1, 1, 1]
    shape[axis] = side
    return pixels.gather(axis, sources.view(shape).expand_as(pixels))
