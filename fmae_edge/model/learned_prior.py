"""Predict each latent from those decoded before it: the prior of the entropy coder.

The latents are coded in groups. Each group has a small network. It sees all latents of the groups before it, and
gives the mean and width of a logistic distribution for each latent of the group. So there are few sequential
steps, and everything within a step runs in parallel. (Masked and grouped contexts:
Germain et al., "MADE", ICML 2015; Minnen and Singh, "Channel-wise autoregressive entropy models", ICIP 2020.)

A `Prior` has the weights of each group, as in checkpoints. It computes with a `PackedPrior`, which has the same
weights in a few large arrays: three products instead of three per group.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, pad

from fmae_edge.model.recipe import QUALITY_STEPS

HIDDEN = 128
# Scale from units to the values in the networks, so that weights stay near 1.
INPUT_SCALE = 1 / 32
MEAN_SCALE = 32.0
FIRST_LOG2_WIDTH = 4.0  # 16 units: about the spread of latents when training starts
_LOG2_WIDTHS = (-1.0, 9.0)  # of half a unit to 512 units
# The smallest probability of a latent, at any distance from its mean: roughly the cost of an escape.
_FLOOR = 2.0**-20


def group_sizes(latent_size: int) -> tuple[int, ...]:
    """Return the sizes of the groups: each doubles the number of latents, but has at most an eighth of all."""
    sizes: list[int] = []
    while (done := sum(sizes)) < latent_size:
        sizes.append(min(max(1, done), max(1, latent_size // 8), latent_size - done))
    return tuple(sizes)


class GroupPrior(nn.Module):
    """The network of one group: maps `before` latents and a quality to `size` means and log2 widths."""

    def __init__(self, before: int, size: int, hidden: int, qualities: int) -> None:
        super().__init__()
        self.before = before
        self.size = size
        self.quality = nn.Parameter(0.1 * torch.randn(qualities, hidden))
        self.first = nn.Linear(before, hidden, bias=False) if before else None
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, 2 * size)
        with torch.no_grad():
            self.last.weight.mul_(0.3)
            self.last.bias.zero_()

    def hidden(self, latents: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values (N, hidden) of both layers before the last; `quality` (N,) counts from 0."""
        x = self.quality[quality]
        if self.first is not None:
            x = x + self.first(latents[:, : self.before] * INPUT_SCALE)
        first = torch.relu(x)
        return first, torch.relu(self.second(first))


@dataclass(frozen=True)
class PackedPrior:
    """The weights of consecutive groups, padded with zeros to the largest number of inputs and outputs.

    Each image is a column of the activations, so weights have PyTorch's (out, in) layout.
    """

    before: int  # number of latents in the groups before these

    first: Tensor  # (groups, hidden, latent_size + qualities)
    seen: Tensor  # (groups, 1, latent_size + qualities): False where `first` must stay 0
    second: Tensor  # (groups, hidden, hidden)
    second_bias: Tensor  # (groups, hidden, 1)
    last: Tensor  # (groups, 2 * largest group, hidden)
    last_bias: Tensor  # (groups, 2 * largest group, 1)
    mean_rows: Tensor  # (size,) row of each latent's mean in the concatenated last layers
    width_rows: Tensor  # (size,) row of each latent's width

    def predict(self, latents: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and log2 widths (N, size) in units, from latents (N, latent_size) in units.

        `size` is the number of latents in all groups together; `quality` (N,) counts from 0.
        """
        # The product with a one-hot vector is an embedding with a faster gradient
        chosen = one_hot(quality, len(QUALITY_STEPS)).to(latents.dtype)
        inputs = torch.cat([latents.t() * INPUT_SCALE, chosen.t()])
        hidden = (self.first.flatten(0, 1) @ inputs).relu_().unflatten(0, self.first.shape[:2])
        hidden = torch.baddbmm(self.second_bias, self.second, hidden).relu_()
        outputs = torch.baddbmm(self.last_bias, self.last, hidden).flatten(0, 1)
        means, widths = (outputs.index_select(0, rows).t() for rows in (self.mean_rows, self.width_rows))
        return means.contiguous() * MEAN_SCALE, (widths.contiguous() + FIRST_LOG2_WIDTH).clamp(*_LOG2_WIDTHS)

    def bits(self, values: Tensor, context: Tensor, quality: Tensor) -> Tensor:
        """Return the bits (N,) of the `values` of the groups; see `bits_of_each`."""
        return self.bits_of_each(values, context, quality).sum(dim=1)

    def bits_of_each(self, values: Tensor, context: Tensor, quality: Tensor) -> Tensor:
        """Return the bits (N, size) of the `values` of the groups, predicted from what the decoder knows.

        `values` and the known `context` are (N, latent_size) latents in units. The probability of a value is the
        mass of the quantiser step around it.
        """
        return self.bits_as_predicted(values, *self.predict(context, quality), quality)

    def bits_as_predicted(self, values: Tensor, means: Tensor, widths: Tensor, quality: Tensor) -> Tensor:
        """Return the bits (N, size) of `values` from the result of `predict`; see `bits_of_each`."""
        values = values[:, self.before : self.before + len(self.mean_rows)]
        half = torch.tensor(QUALITY_STEPS, device=values.device)[quality].unsqueeze(1) / 2
        away = -(values - means).abs()  # symmetric, and floats are precise in the lower tail
        slope = torch.exp2(-widths)
        share = torch.sigmoid((away + half) * slope) - torch.sigmoid((away - half) * slope)
        return -torch.log2(share.clamp(min=0) + _FLOOR)


class Prior(nn.Module):
    """The distributions of all latents of an image, each conditional on the latents of earlier groups."""

    def __init__(self, latent_size: int, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.groups = nn.ModuleList()
        before = 0
        for size in group_sizes(latent_size):
            self.groups.append(GroupPrior(before, size, hidden, len(QUALITY_STEPS)))
            before += size

    def bits(self, values: Tensor, context: Tensor, quality: Tensor) -> Tensor:
        """Return the bits (N,) of all latents; see `PackedPrior.bits`."""
        return self.pack().bits(values, context, quality)

    def pack(self, chosen: slice = slice(None)) -> PackedPrior:
        """Return the weights of the `chosen` groups in a few arrays; gradients flow back to the groups."""
        latent_size = sum(group.size for group in self._groups(slice(None)))
        groups = self._groups(chosen)
        device = groups[0].quality.device
        inputs = torch.arange(latent_size + len(QUALITY_STEPS), device=device)
        rows = 2 * max(group.size for group in groups)
        first = []
        for group in groups:
            by_latent = (
                group.quality.new_zeros(len(group.second.bias), 0) if group.first is None else group.first.weight
            )
            first.append(torch.cat([by_latent, pad(group.quality.t(), (latent_size - group.before, 0))], dim=1))
        starts = [index * rows + torch.arange(group.size) for index, group in enumerate(groups)]
        mean_rows = torch.cat(starts)
        width_rows = torch.cat([start + group.size for start, group in zip(starts, groups, strict=True)])
        return PackedPrior(
            groups[0].before,
            torch.stack(first),
            torch.stack([(inputs < group.before) | (inputs >= latent_size) for group in groups]).unsqueeze(1),
            torch.stack([group.second.weight for group in groups]),
            torch.stack([group.second.bias for group in groups]).unsqueeze(2),
            torch.stack([pad(group.last.weight, (0, 0, 0, rows - 2 * group.size)) for group in groups]),
            torch.stack([pad(group.last.bias, (0, rows - 2 * group.size)) for group in groups]).unsqueeze(2),
            mean_rows.to(device),
            width_rows.to(device),
        )

    @torch.no_grad()
    def unpack(self, chosen: slice, packed: PackedPrior) -> None:
        """Copy the weights of the `chosen` groups back from the result of `pack`."""
        for index, group in enumerate(self._groups(chosen)):
            if group.first is not None:
                group.first.weight.copy_(packed.first[index, :, : group.before])
            group.quality.copy_(packed.first[index, :, -len(group.quality) :].t())
            group.second.weight.copy_(packed.second[index])
            group.second.bias.copy_(packed.second_bias[index, :, 0])
            group.last.weight.copy_(packed.last[index, : 2 * group.size])
            group.last.bias.copy_(packed.last_bias[index, : 2 * group.size, 0])

    def _groups(self, chosen: slice) -> list[GroupPrior]:
        return [group for group in self.groups[chosen] if isinstance(group, GroupPrior)]
