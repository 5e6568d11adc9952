"""Choose an optimiser for each weight."""

from torch import Tensor
from torch.optim import AdamW

from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.learned_prior import Prior
from fmae_edge.train.muon import Muon


class Optimisers:
    """Muon for the inner matrices and kernels of the autoencoder; AdamW for biases and the layers at the pixels.

    AdamW also trains all weights of the prior, if there is one.
    """

    def __init__(self, model: Autoencoder, prior: Prior | None = None) -> None:
        pixels = (model.encoder.convs[0].weight, model.decoder.transposed[-1].weight)
        inner = [
            parameter
            for parameter in model.parameters()
            if parameter.ndim > 1 and not any(parameter is weight for weight in pixels)
        ]
        outer = [parameter for parameter in model.parameters() if not any(parameter is weight for weight in inner)]
        if prior:
            outer += prior.parameters()
        self._all = (Muon(inner, lr=0.0), AdamW(outer, lr=0.0, weight_decay=0.0, fused=True))

    def set_learning_rate(self, lr: float) -> None:
        """Set the learning rate of both optimisers for the next steps."""
        for optimiser in self._all:
            for group in optimiser.param_groups:
                group["lr"] = lr

    def step(self, loss: Tensor) -> None:
        """Take one step down the gradient of `loss`."""
        for optimiser in self._all:
            optimiser.zero_grad()
        loss.backward()
        for optimiser in self._all:
            optimiser.step()

    def tensors(self) -> dict[str, Tensor]:
        """Return the state of both optimisers as named tensors."""
        return {
            f"{number}.{index}.{name}": tensor
            for number, optimiser in enumerate(self._all)
            for index, state in optimiser.state_dict()["state"].items()
            for name, tensor in state.items()
        }

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Restore a state that `tensors` returned."""
        for number, optimiser in enumerate(self._all):
            state: dict[int, dict[str, Tensor]] = {}
            for key, tensor in tensors.items():
                owner, index, name = key.split(".")
                if int(owner) == number:
                    state.setdefault(int(index), {})[name] = tensor
            optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
