"""Which layers run in int8: all of them, unless measured PSNR says that one costs too much."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

# What int8 may cost by itself, pooled PSNR in dB; until it does not, the layer that costs most goes back to float
MAX_LOSS_DB = 0.03


@dataclass(frozen=True)
class LayerChoice:
    """How one layer runs, and the pooled PSNR in dB that its int8 form costs beside the others'."""

    name: str
    precision: str
    loss_db: float


def choose_layers(
    names: list[str], reference: float, psnr_with: Callable[[Collection[str]], float]
) -> tuple[frozenset[str], list[LayerChoice]]:
    """Return the layers that stay in float, and what was measured of each of `names`.

    `reference` is the pooled PSNR in dB in float, `psnr_with(stay_float)` that with int8 but for some layers.
    """
    whole = psnr_with(())
    losses = {name: psnr_with((name,)) - whole for name in names}
    stay_float: set[str] = set()
    for name in sorted(names, key=lambda name: -losses[name]):
        if reference - whole <= MAX_LOSS_DB:
            break
        stay_float.add(name)
        whole = psnr_with(stay_float)
    choices = [LayerChoice(name, "fp32" if name in stay_float else "int8", losses[name]) for name in names]
    return frozenset(stay_float), choices
