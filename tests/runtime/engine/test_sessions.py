"""Sessions have the requested options, and errors of onnxruntime get the right type."""

import builtins
import re
import subprocess
import sys
import types

import numpy as np
import pytest

from fmae_edge import Codec, FmaeError
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.engine.cpus import available_cpus
from fmae_edge.runtime.engine.sessions import load_onnxruntime, open_session
from fmae_edge.runtime.errors import ResourceError

ort = load_onnxruntime()
GRAPH = read_bundle(DEFAULT_BUNDLE).files["encoder.onnx"]


def options(**requested):
    return open_session(GRAPH, "it", **requested).get_session_options()


def test_threads_and_optimisation():
    assert options(threads=3).intra_op_num_threads == 3
    assert options(threads=1).graph_optimization_level == ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    off = options(threads=1, optimise=False)
    assert off.graph_optimization_level == ort.GraphOptimizationLevel.ORT_DISABLE_ALL


def test_threads_do_not_spin_and_memory_is_returned():
    given = options(threads=2)
    assert given.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert not given.enable_cpu_mem_arena
    assert options(threads=1, arena=True).enable_cpu_mem_arena


def test_cpus_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {5, 9, 11})
    assert available_cpus() == 3


def test_few_images_run_on_one_thread_and_many_on_the_requested_number(monkeypatch, images):
    opened = []

    def note(model, where, threads, **options):
        opened.append((where.rpartition(" ")[2], threads))
        return open_session(model, where, threads, **options)

    monkeypatch.setattr("fmae_edge.runtime.engine.graphs.open_session", note)
    codec = Codec(threads=3)
    latents = codec.encode(images[:7])
    assert opened == [("encoder.onnx", 1)]
    many = codec.encode(images[:8])
    codec.encode(images)
    codec.decode(latents)
    codec.decode(many)
    assert opened[1:] == [("encoder.onnx", 3), ("decoder.onnx", 1), ("decoder.onnx", 3)]
    np.testing.assert_allclose(many[:7], latents, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), FmaeError("the handler's own sentence")], ids=type)
def test_an_exception_of_a_signal_handler_during_the_import_is_raised(monkeypatch, raised):
    def interrupted(name, *_):
        if name == "onnxruntime":
            raise ImportError("initialization failed") from raised
        return unchanged(name, *_)

    unchanged = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", interrupted)
    with pytest.raises(type(raised)) as caught:
        load_onnxruntime()
    assert caught.value is raised


def test_a_codec_in_a_signal_handler_during_the_import_is_an_error(monkeypatch):
    """The signal handler finds the module without its contents."""
    monkeypatch.setitem(sys.modules, "onnxruntime", types.ModuleType("onnxruntime"))
    with pytest.raises(FmaeError, match="still being imported"):
        load_onnxruntime()


def test_each_session_has_its_threads_or_raises(monkeypatch):
    """The system may refuse threads that it allowed before, and onnxruntime would wait forever."""
    open_session(GRAPH, "it", threads=3)

    def refuse(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("_thread.start_new_thread", refuse)
    with pytest.raises(
        ResourceError,
        match="^it cannot be loaded on 3 threads .FMAE_EDGE_THREADS=1 uses one thread.: out of threads or memory",
    ):
        open_session(GRAPH, "it", threads=3)


def test_python_s_exit_is_not_a_lack_of_threads(monkeypatch):
    """From 3.12 on, Python starts no threads at exit; onnxruntime still can."""

    def refuse(*_):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr("_thread.start_new_thread", refuse)
    open_session(GRAPH, "it", threads=3)


_LACKING = """
import resource, sys
import numpy as np
from fmae_edge import Codec, FmaeError
from fmae_edge.runtime.errors import ResourceError
from fmae_edge.runtime.engine.sessions import load_onnxruntime

load_onnxruntime()
codec = Codec(threads=int(sys.argv[1]))
images = np.zeros((64, 28, 28), np.uint8)
if len(sys.argv) > 3:
    codec.encode(images[:1])  # loads the graph
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    codec.encode(images)
except (FmaeError, MemoryError) as error:
    print(f"{type(error).__name__}: {error}")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits address space")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            (400, 64 << 20),
            "ResourceError: .*encoder.onnx cannot be loaded on 400 threads .*: out of threads",
        ),
        # How much it takes to load the graph depends on Python and onnxruntime
        ((1, 1 << 20), "MemoryError: .*encoder.onnx (cannot be loaded by|fails in) onnxruntime.*: out of memory"),
        ((1, 0, "loaded"), "MemoryError: .*encoder.onnx fails in onnxruntime: out of memory"),
    ],
)
def test_a_lack_of_threads_or_memory_is_not_blamed_on_the_bundle(arguments, said):
    arguments = [sys.executable, "-c", _LACKING, *map(str, arguments)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.match(said, done.stdout), done.stdout


def test_a_library_that_cannot_allocate_memory_is_a_lack_of_resources(monkeypatch):
    def fail(*_):
        raise ImportError("x.so: failed to map segment from shared object")

    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    with monkeypatch.context() as patch:
        patch.setattr("builtins.__import__", fail)
        with pytest.raises(ResourceError, match="^onnxruntime cannot be loaded: out of threads or memory"):
            load_onnxruntime()
