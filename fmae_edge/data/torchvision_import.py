"""Import torchvision's data sets even if torchvision and torch come from different builds.

The torchvision wheel is built against CUDA. With a CPU build of torch its compiled operators do not load, and
`import torchvision` fails with "operator torchvision::nms does not exist", because it registers Python parts of
two operators. Declaring their schemas first is enough for data sets to work. The operators themselves stay
unavailable; nothing here uses them.
"""

import torch


def data_set_class(name: str) -> type:
    """Return a class of torchvision.datasets, such as FashionMNIST."""
    try:
        return _imported(name)
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    # The library must outlive the import: its declarations end when it is collected
    global _declarations
    _declarations = torch.library.Library("torchvision", "DEF")
    _declarations.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declarations.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return _imported(name)


_declarations: torch.library.Library | None = None


def _imported(name: str) -> type:
    from torchvision import datasets

    found: type = getattr(datasets, name)
    return found
