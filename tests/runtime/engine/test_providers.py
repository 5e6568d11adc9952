"""Execution providers: the names that users give, which graphs they run, and errors instead of silent fall-backs.

The providers of these tests are the CPU's and invented ones; tests/runtime/test_openvino.py runs a real one.
"""

import pickle
import types

import numpy as np
import pytest

from fmae_edge import Codec, FmaeError, InputError
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.engine.graphs import as_run_options
from fmae_edge.runtime.engine.providers import as_providers, for_session, require_used
from fmae_edge.runtime.engine.sessions import load_onnxruntime, open_session

ORT = types.SimpleNamespace(
    __version__="9.9",
    get_all_providers=lambda: [
        f"{name}ExecutionProvider" for name in ("CUDA", "OpenVINO", "Dml", "Xnnpack", "CPU")
    ],
    get_available_providers=lambda: ["OpenVINOExecutionProvider", "CPUExecutionProvider"],
)


@pytest.mark.parametrize("name", ["openvino", "OpenVINO", "OpenVINOExecutionProvider"])
def test_short_and_long_names_mean_the_same_provider(name):
    assert for_session(ORT, as_providers([name]), threads=3) == [
        ("OpenVINOExecutionProvider", {"num_of_threads": "3"})
    ]


def test_options_are_passed_on_and_replace_ours():
    given = as_providers([("openvino", {"num_of_threads": 7, "device_type": "GPU"}), "cpu"])
    assert for_session(ORT, given, threads=3) == [
        ("OpenVINOExecutionProvider", {"num_of_threads": "7", "device_type": "GPU"}),
        ("CPUExecutionProvider", {}),
    ]


def test_no_providers_mean_the_cpu():
    for none in (None, [], ()):
        assert for_session(ORT, as_providers(none), threads=1) == [("CPUExecutionProvider", {})]


def test_checked_providers_can_be_hashed_and_checked_again():
    given = as_providers([("openvino", {"device_type": "GPU"}), "cpu"])
    hash(given)
    assert as_providers(given) == given


@pytest.mark.parametrize(
    "bad", ["openvino", 3, [3], [("cpu", 3)], [("cpu", ("a", "b"))], [([], "b")], ("cpu", {"a": 1}), [()], {}]
)
def test_anything_else_is_refused_in_one_sentence(bad):
    with pytest.raises(InputError, match=r"providers is .*; expected a list of names or \(name, options\)"):
        Codec(providers=bad)


def test_a_provider_is_named_once():
    for twice in (["cuda", "cuda"], ["CUDAExecutionProvider", "cpu", ("cuda", {"device_id": 1})]):
        with pytest.raises(InputError, match="providers contains 'cuda' twice"):
            Codec(providers=twice)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "cuda",
            "9.9 was built without CUDAExecutionProvider; it has .*CPU.*: pip install onnxruntime-gpu in place",
        ),
        ("directml", "without DmlExecutionProvider; .* pip install onnxruntime-directml in place of onnxruntime"),
        ("xnnpack", "without XnnpackExecutionProvider; it has OpenVINO.*: install a build that has it"),
        ("cdua", "providers contains 'cdua', which onnxruntime does not know; it has OpenVINO"),
    ],
)
def test_a_missing_provider_is_named_with_the_package_that_brings_it(name, sentence):
    with pytest.raises(FmaeError, match=sentence):
        for_session(ORT, as_providers([name, "cpu"]), threads=1)


def test_a_codec_says_at_once_that_a_provider_is_missing():
    missing = next(
        name
        for name in ("TensorrtExecutionProvider", "CoreMLExecutionProvider")
        if name not in load_onnxruntime().get_available_providers()
    )
    with pytest.raises(FmaeError, match=f"was built without {missing}"):
        Codec(providers=[missing])


def test_the_float32_graphs_run_on_other_providers_and_the_int8_graphs_are_refused():
    assert as_run_options(None, None, ["openvino"]).precision == "fp32"
    assert as_run_options("fp32", None, ["openvino", "cpu"]).precision == "fp32"
    for on_cpu in (None, ["cpu"], [("CPUExecutionProvider", {})]):
        assert as_run_options(None, None, on_cpu).precision == "int8"
        assert as_run_options("fp32", None, on_cpu).precision == "fp32"
    with pytest.raises(InputError, match="precision is int8, which runs on the CPU only; use fp32 on openvino"):
        as_run_options("int8", None, ["openvino"])


def test_a_silent_fall_back_to_the_cpu_is_an_error(monkeypatch, images):
    # What onnxruntime does with a provider that it has, but that cannot start: a GPU without a driver
    monkeypatch.setattr(
        load_onnxruntime(), "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    codec = Codec(providers=["cuda"])
    with (
        pytest.warns(UserWarning, match="not in available"),
        pytest.raises(FmaeError, match="could not start CUDA.* and fell back to CPU"),
    ):
        codec.encode(images[:1])


def test_a_provider_that_is_used_is_accepted_beside_the_cpu():
    session = types.SimpleNamespace(get_providers=lambda: ["OpenVINOExecutionProvider", "CPUExecutionProvider"])
    require_used(session, [("OpenVINOExecutionProvider", {})], "it")
    with pytest.raises(FmaeError, match="it: onnxruntime could not start CUDA"):
        require_used(session, [("OpenVINOExecutionProvider", {}), ("CUDAExecutionProvider", {})], "it")


def test_a_provider_that_starts_but_runs_nothing_is_an_error():
    session = types.SimpleNamespace(get_providers=lambda: ["CoreMLExecutionProvider", "CPUExecutionProvider"])
    asked = [("CoreMLExecutionProvider", {"device": "x"}), ("CPUExecutionProvider", {})]
    require_used(session, asked, "it")  # an older onnxruntime does not tell
    runners = [types.SimpleNamespace(ep_name="CPUExecutionProvider")]
    session.get_provider_graph_assignment_info = lambda: runners
    with pytest.raises(FmaeError, match="it: onnxruntime runs all of it on CPU.* CoreML.*'device': 'x'.*CPU last"):
        require_used(session, asked, "it")
    require_used(session, asked[1:], "it")
    runners.append(types.SimpleNamespace(ep_name="CoreMLExecutionProvider"))
    require_used(session, asked, "it")


def test_codecs_with_a_provider_code_as_others_and_can_be_pickled(images):
    expected = Codec(precision="fp32").compress_batch(images[:9])
    of_folder = Codec(precision="fp32", providers=["cpu"])
    in_memory = Codec.from_bundle(read_bundle(DEFAULT_BUNDLE), precision="fp32", providers=[("cpu", {})])
    for codec in (of_folder, in_memory):
        again = pickle.loads(pickle.dumps(codec))
        assert repr(again) == repr(codec)
        assert repr(codec).endswith(", cpu>")
        assert again.compress_batch(images[:9]) == codec.compress_batch(images[:9]) == expected
        np.testing.assert_array_equal(again.decompress(expected), codec.decompress(expected))


def test_the_gradient_of_a_search_stays_on_the_cpu(monkeypatch, images):
    opened = {}

    def note(model, where, threads, **options):
        opened[where.rpartition(" ")[2]] = options["providers"]
        return open_session(model, where, threads, **options)

    monkeypatch.setattr("fmae_edge.runtime.engine.graphs.open_session", note)
    given = as_providers(["cpu"])
    Codec(precision="fp32", providers=given).compress(images[0], effort=5)
    assert opened == {"encoder.fp32.onnx": given, "decoder.fp32.onnx": given, "decoder.gradient.onnx": ()}


def test_options_that_a_provider_refuses_are_named(monkeypatch, images):
    def refuse(*arguments, **options):
        raise RuntimeError("provider.cc:7\nInvalid option")

    ort = load_onnxruntime()
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(ort, "InferenceSession", refuse)
    codec = Codec(providers=[("cuda", {"nonsense": 1})])
    with pytest.raises(
        FmaeError, match=r"'CUDAExecutionProvider', {'nonsense': '1'}\)\]: provider.cc:7 Invalid option$"
    ):
        codec.encode(images[:1])
