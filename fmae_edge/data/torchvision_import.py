"""Import torchvision's data sets even if torchvision and torch come from different builds.

The torchvision wheel is built against CUDA. With a CPU build of torch its compiled operators do not load, and
`import torchvision` fails with "operator torchvision::nms does not exist", because it registers Python parts of
two operators. Declaring their schemas first is enough for data sets to work. The operators themselves stay
unavailable; nothing here uses them.
"""

import torch


def fashion_mnist_class() -> type:
    """Return the class torchvision.datasets.FashionMNIST."""
    try:
        return _imported()
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    # The library must outlive the import: its declarations end when it is collected
    global _declarations
    _declarations = torch.library.Library("torchvision", "DEF")
    _declarations.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declarations.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return _imported()


_declarations: torch.library.Library | None = None


def _imported() -> type:
    from torchvision.datasets import FashionMNIST

    return FashionMNIST
