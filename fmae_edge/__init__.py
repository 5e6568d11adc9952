"""fmae-edge: a convolutional autoencoder as an image codec that runs anywhere onnxruntime does.

The public names load on first use (PEP 562), so that importing the package costs nothing::

    from fmae_edge import Codec

    codec = Codec()  # the default bundle, for 28x28 gray clothing; Codec("detail") or Codec("folder") for another
    latents = codec.encode(images)  # (N, 28, 28) uint8 -> (N, 64) float32
    images = codec.decode(latents)  # (N, 64) float32 -> (N, 28, 28) uint8
"""

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without an import that would take most of the time of this one

__version__ = "0.1.0"

__all__ = ["BundleError", "Codec", "FmaeError", "InputError", "OutputError", "__version__"]

if TYPE_CHECKING:
    from fmae_edge.runtime.codec import Codec
    from fmae_edge.runtime.errors import BundleError, FmaeError, InputError, OutputError

_HOME = {
    "BundleError": "fmae_edge.runtime.errors",
    "Codec": "fmae_edge.runtime.codec",
    "FmaeError": "fmae_edge.runtime.errors",
    "InputError": "fmae_edge.runtime.errors",
    "OutputError": "fmae_edge.runtime.errors",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
