"""Choose the layers to run in int8: all that are faster in int8, unless one loses too much PSNR."""

from collections.abc import Callable
from dataclasses import dataclass

# Largest loss by int8, pooled PSNR in dB; while it is larger, the layer that loses most goes back to float
MAX_LOSS_DB = 0.04


@dataclass(frozen=True)
class LayerChoice:
    """The precision of one layer, and the pooled PSNR in dB that int8 loses in it, given the other layers."""

    name: str
    precision: str
    loss_db: float


def choose_layers(
    names: list[str],
    faster_in_float: frozenset[str],
    reference: float,
    psnr_with: Callable[[frozenset[str]], float],
) -> tuple[frozenset[str], list[LayerChoice]]:
    """Return the layers that stay in float, and the measurement of each of `names`.

    `reference` is the pooled PSNR in dB in float, `psnr_with(stay_float)` that in int8 except for some layers.
    """
    start = psnr_with(faster_in_float)
    losses = {name: psnr_with(faster_in_float | {name}) - psnr_with(faster_in_float - {name}) for name in names}
    stay_float, now = faster_in_float, start
    for name in sorted(set(names) - faster_in_float, key=lambda name: -losses[name]):
        if reference - now <= MAX_LOSS_DB:
            break
        stay_float |= {name}
        now = psnr_with(stay_float)
    choices = [LayerChoice(name, "fp32" if name in stay_float else "int8", losses[name]) for name in names]
    return stay_float, choices
