"""Describe the machine of a measurement."""

import platform
from importlib.metadata import version
from typing import Any

import numpy as np

from fmae_edge.evaluate.records import count, text
from fmae_edge.runtime.engine.cpus import available_cpus, cpu_name, dot_products


def describe_machine() -> dict[str, Any]:
    """Return the CPU, the number of CPUs that this process may use, the system, and the versions in use."""
    return {
        "cpu": f"{cpu_name()}, {', '.join(dot_products()) or 'no int8 dot product'}",
        "cpus": available_cpus(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnxruntime": version("onnxruntime"),
        "fmae-edge": version("fmae-edge"),
    }


def read_machine(record: Any) -> dict[str, Any]:
    """Check a record of `describe_machine` from JSON. Raises AttributeError or ValueError for anything else."""
    return {text(name): text(value) if isinstance(value, str) else count(value) for name, value in record.items()}
