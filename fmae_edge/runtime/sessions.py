"""Make onnxruntime sessions from the graphs of a bundle. onnxruntime is imported here, at first use."""

import os
from typing import TYPE_CHECKING

from fmae_edge.runtime.errors import BundleError, FmaeError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def available_cpus() -> int:
    """Number of CPUs that this process may run on: its affinity where the system has one."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def open_session(model: bytes, where: str, threads: int, optimise: bool = True) -> "InferenceSession":
    """Load a serialised ONNX graph on the CPU with `threads` threads; `where` names it in messages.

    Raises BundleError if onnxruntime refuses the graph, FmaeError if onnxruntime cannot be loaded.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise FmaeError(f"onnxruntime cannot be loaded: {error}") from error
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only: they are raised as exceptions anyhow
    # A spinning pool burns CPU between calls, and the arena keeps a large batch's memory for good;
    # neither is measurably faster for graphs of this size.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base but Exception
        raise BundleError(f"{where} cannot be loaded by onnxruntime {ort.__version__}: {error}") from error


def takes_levels(encoder: "InferenceSession") -> bool:
    """Whether an encoder takes 8-bit images as they are, as int8 graphs do, or pixels in [0, 1]."""
    return bool(encoder.get_inputs()[0].type == "tensor(uint8)")
