"""Execution providers of onnxruntime: the names that users give, and whether each is installed and really used.

onnxruntime drops a provider that is missing or cannot start, and runs on the CPU instead. Here both are errors.
So is a provider that starts but runs nothing, as OpenVINO's does for a device type that it does not know.
"""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fmae_edge.runtime.errors import ArgumentError, FmaeError, shown

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

# Checked names with their options, in a form that can be hashed; and what a caller gives, as onnxruntime takes it
Providers = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
ProvidersLike = Sequence[str | tuple[str, Mapping[str, Any]]] | Providers | None

CPU = "CPUExecutionProvider"
# The method of a session that says which provider runs each part of it, and the setting that it needs
RUNNERS, RECORD_RUNNERS = "get_provider_graph_assignment_info", "session.record_ep_graph_assignment_info"
_SUFFIX = "executionprovider"
_OTHER_NAMES = {"directml": "dml"}
# Packages that bring a provider, by its short name. Each replaces the package onnxruntime
_PACKAGES = {
    "openvino": "onnxruntime-openvino",
    "cuda": "onnxruntime-gpu",
    "tensorrt": "onnxruntime-gpu",
    "dml": "onnxruntime-directml",
    "migraphx": "onnxruntime-migraphx",
    "qnn": "onnxruntime-qnn",
    "cann": "onnxruntime-cann",
}


def as_providers(providers: object) -> Providers:
    """Return the names and options of providers, in their order; none for None.

    Raises ArgumentError unless `providers` is a sequence of names and of pairs (name, options), each name once.
    """
    if providers is None:
        return ()
    if isinstance(providers, list | tuple):
        found = [_name_and_options(provider) for provider in providers]
        checked = tuple(each for each in found if each is not None)
        if len(checked) == len(found):
            _require_once([_short(name) for name, _ in checked])
            return checked
    example = "a list of names or (name, options), as in ['OpenVINOExecutionProvider']"
    raise ArgumentError("providers", f"is {shown(providers)}; expected {example}")


def _require_once(names: Sequence[str]) -> None:
    """Raise ArgumentError for a name that occurs twice: onnxruntime would ignore the options of the second."""
    for name in names:
        if names.count(name) > 1:
            raise ArgumentError("providers", f"contains {shown(name)} twice; name each provider once")


def _name_and_options(provider: object) -> tuple[str, tuple[tuple[str, str], ...]] | None:
    name, options = provider if isinstance(provider, list | tuple) and len(provider) == 2 else (provider, {})
    if isinstance(options, tuple) and all(isinstance(each, tuple) and len(each) == 2 for each in options):
        options = {str(key): value for key, value in options}  # as this function returns them
    if not isinstance(name, str) or not isinstance(options, Mapping):
        return None
    return name, tuple((str(key), str(value)) for key, value in options.items())


def runs_on_cpu(providers: Sequence[tuple[str, object]]) -> bool:
    """Return whether the graphs run on onnxruntime's own CPU provider alone, as they do by default."""
    return all(_short(name) == _short(CPU) for name, _ in providers)


def _short(name: str) -> str:
    """Return the name that a user may type: openvino for OpenVINOExecutionProvider."""
    short = name.lower().removesuffix(_SUFFIX)
    return _OTHER_NAMES.get(short, short)


def require_installed(ort: ModuleType, providers: Providers) -> None:
    """Raise ArgumentError for a provider unknown to onnxruntime, FmaeError for one that it was built without."""
    known, installed = ({_short(name): name for name in names} for names in _names(ort))
    for name, _ in providers:
        short, present = _short(name), ", ".join(installed.values())
        if short not in known:
            raise ArgumentError(
                "providers", f"contains {shown(name)}, which onnxruntime does not know; it has {present}"
            )
        if short not in installed:
            package = _PACKAGES.get(short)
            cure = f"pip install {package} in place of onnxruntime" if package else "install a build that has it"
            raise FmaeError(
                f"onnxruntime {ort.__version__} was built without {known[short]}; it has {present}: {cure}"
            )


def _names(ort: ModuleType) -> tuple[list[str], list[str]]:
    """Return the providers that onnxruntime knows, and those in this build of it."""
    return ort.get_all_providers(), ort.get_available_providers()


def for_session(ort: ModuleType, providers: Providers, threads: int) -> list[tuple[str, dict[str, str]]]:
    """Return the names and options that a session takes. Raises as `require_installed` does."""
    require_installed(ort, providers)
    names = {_short(name): name for name in ort.get_available_providers()}
    # OpenVINO has threads of its own: by default, as many as the machine has CPUs
    own = {"openvino": {"num_of_threads": str(threads)}}
    asked = [(_short(name), dict(options)) for name, options in providers]
    return [(names[short], own.get(short, {}) | options) for short, options in asked] or [(CPU, {})]


def require_used(session: "InferenceSession", providers: Sequence[tuple[str, dict[str, str]]], where: str) -> None:
    """Raise FmaeError if onnxruntime could not start a provider for this session, or runs all of it on the CPU.

    `where` names its graph. Before 1.24, onnxruntime does not tell which provider runs what.
    """
    used = session.get_providers()
    for name, _ in providers:
        if name not in used:
            raise FmaeError(
                f"{where}: onnxruntime could not start {name} on this machine and fell back to {', '.join(used)}; "
                "what it printed to stderr says why"
            )
    if runs_on_cpu([(name, ()) for name, _ in providers]) or not hasattr(session, RUNNERS):
        return
    if all(part.ep_name == CPU for part in getattr(session, RUNNERS)()):
        names = ", ".join(f"{name} {options or ''}".strip() for name, options in providers)
        raise FmaeError(
            f"{where}: onnxruntime runs all of it on {CPU}, with providers {names}: check their options, and name "
            "the CPU last"
        )
