"""The versions of the packages that fmae-edge runs on, as far as they are installed."""

import platform
from importlib.metadata import PackageNotFoundError, distributions, version

from fmae_edge import __version__

_PACKAGES = ("numpy", "onnxruntime", "pillow", "torch")


def versions() -> dict[str, str]:
    """Return the versions of fmae-edge, Python and the packages that are installed.

    onnxruntime has several packages, such as onnxruntime-gpu.
    """
    found = {"fmae-edge": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    if "onnxruntime" not in found:
        found |= onnxruntime_packages()
    return found


def onnxruntime_packages() -> dict[str, str]:
    """Return the packages that install the module onnxruntime, with their versions."""
    found = {str(package.metadata["Name"]).lower(): package.version for package in distributions()}
    names = sorted(name for name in found if name.startswith("onnxruntime") and "extensions" not in name)
    return {name: found[name] for name in names}
