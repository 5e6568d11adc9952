"""What the latents decoded so far say of the next ones: the prior that the entropy coder follows.

The latents are coded in groups. Each group has a small network of its own, which sees all latents of
the groups before it and says, for each latent of its own, where a logistic distribution lies and how wide
it is: few sequential steps, and within a step everything side by side. (Masked and grouped contexts:
Germain et al., "MADE", ICML 2015; Minnen and Singh, "Channel-wise autoregressive entropy models", ICIP 2020.)
"""

import torch
from torch import Tensor, nn

# Latents are counted in units: the fixed point of the exported prior. Quality q quantises in steps of
# QUALITY_STEPS[q - 1] units, each three quarters of the one before, as near as integers come.
UNITS = 80
QUALITY_STEPS = (64, 48, 36, 27, 20, 15, 11, 8, 6)

HIDDEN = 128
# From units to what the networks take and give, so that weights stay near 1.
INPUT_SCALE = 1 / 32
MEAN_SCALE = 32.0
FIRST_LOG2_WIDTH = 4.0  # 16 units: about what latents vary by when training starts
_LOG2_WIDTHS = (-1.0, 9.0)  # of half a unit to 512 units
# No latent is less likely than this, however far from its mean: what an escape costs, roughly.
_FLOOR = 2.0**-20


def group_sizes(latent_size: int) -> tuple[int, ...]:
    """Return how many latents each group has: as many as all before it, and an eighth of them all at most."""
    sizes: list[int] = []
    while (done := sum(sizes)) < latent_size:
        sizes.append(min(max(1, done), max(1, latent_size // 8), latent_size - done))
    return tuple(sizes)


class GroupPrior(nn.Module):
    """The network of one group: (N, before) latents in units and (N,) quality -> means and log2 widths."""

    def __init__(self, before: int, size: int, hidden: int, qualities: int) -> None:
        super().__init__()
        self.before = before
        self.quality = nn.Parameter(0.1 * torch.randn(qualities, hidden))
        self.first = nn.Linear(before, hidden, bias=False) if before else None
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, 2 * size)
        with torch.no_grad():
            self.last.weight.mul_(0.3)
            self.last.bias.zero_()

    def forward(self, latents: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Return (N, size) means and log2 widths; `quality` counts from 0."""
        means, widths = self.last(self.hidden(latents, quality)[1]).chunk(2, dim=1)
        return means * MEAN_SCALE, (widths + FIRST_LOG2_WIDTH).clamp(*_LOG2_WIDTHS)

    def hidden(self, latents: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values (N, hidden) of both layers before the last."""
        x = self.quality[quality]
        if self.first is not None:
            x = x + self.first(latents[:, : self.before] * INPUT_SCALE)
        first = torch.relu(x)
        return first, torch.relu(self.second(first))


class Prior(nn.Module):
    """The distributions of all latents of an image, each given those of earlier groups."""

    def __init__(self, latent_size: int, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.groups = nn.ModuleList()
        before = 0
        for size in group_sizes(latent_size):
            self.groups.append(GroupPrior(before, size, hidden, len(QUALITY_STEPS)))
            before += size

    def forward(self, latents: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and log2 widths (N, latent_size) in units, from latents (N, latent_size) in units."""
        means, widths = zip(*(group(latents, quality) for group in self.groups), strict=True)
        return torch.cat(means, dim=1), torch.cat(widths, dim=1)

    def bits(self, values: Tensor, context: Tensor, quality: Tensor) -> Tensor:
        """Return the bits (N,) that `values` cost, given what the decoder knows as `context`.

        Both are (N, latent_size) latents in units: a value's probability is that of the step around it.
        """
        means, widths = self(context, quality)
        half = torch.tensor(QUALITY_STEPS, device=values.device)[quality].unsqueeze(1) / 2
        away = -(values - means).abs()  # the distribution is symmetric, and its lower tail is exact in floats
        slope = torch.exp2(-widths)
        share = torch.sigmoid((away + half) * slope) - torch.sigmoid((away - half) * slope)
        return -torch.log2(share.clamp(min=0) + _FLOOR).sum(dim=1)
