"""The engines that `engines.py` compares, each with its best settings."""

import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from engine_calls import TASKS, Calls, Engine, Material, UnavailableError, silenced, slices

from fmae_edge.data.fashion_mnist import load_fashion_mnist
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.engine.cpu_model import dot_products
from fmae_edge.runtime.engine.sessions import open_session
from fmae_edge.runtime.engine.weight_zero_points import with_fast_zero_points

CALIBRATION_IMAGES = 300


def eager(material: Material, threads: int) -> Calls:
    """PyTorch in eager mode."""
    torch.set_num_threads(threads)
    calls: Calls = {}
    for task in TASKS:
        run = material.module(task)
        for key, x in slices(task, material.floats(task)):
            inputs = torch.from_numpy(x)
            calls[key] = lambda run=run, x=inputs: run(x).numpy()
    return calls


def compiled(material: Material, threads: int) -> Calls:
    """torch.compile, with one program per batch size, compiled here.

    Weights are frozen into the programs. The calls between kernels are C++, because Python's are slow at batch 1.
    """
    torch.set_num_threads(threads)
    calls: Calls = {}
    for task in TASKS:
        run = torch.compile(material.module(task), dynamic=False, options={"freezing": True, "cpp_wrapper": True})
        for key, x in slices(task, material.floats(task)):
            inputs = torch.from_numpy(x)
            try:
                with silenced():
                    run(inputs)
            except RuntimeError as error:  # without a C++ compiler or Python's header files
                raise UnavailableError(str(error).strip().partition("\n")[0]) from None
            calls[key] = lambda run=run, x=inputs: run(x).numpy()
    return calls


def onnxruntime_plain(material: Material, threads: int) -> Calls:
    """The graphs as PyTorch exports them, with the session options of the codec."""
    calls: Calls = {}
    for task in TASKS:
        session = open_session(material.plain[task], task, threads)
        (port,) = session.get_inputs()
        for key, x in slices(task, material.floats(task)):
            calls[key] = lambda session=session, feed={port.name: x}: session.run(None, feed)[0]
    return calls


def ours_float32(material: Material, threads: int) -> Calls:
    """The float32 graphs of the bundle in the wheel."""
    return _ours(material, threads, material.images, ".fp32")


def ours_int8(material: Material, threads: int) -> Calls:
    """The int8 graphs of the bundle in the wheel, with uint8 images."""
    return _ours(material, threads, material.levels, "")


def _ours(material: Material, threads: int, images: np.ndarray, suffix: str) -> Calls:
    files = read_bundle(DEFAULT_BUNDLE).files
    calls: Calls = {}
    for task, part, values in (("encode", "encoder", images), ("decode", "decoder", material.latents)):
        name = f"{part}{suffix}.onnx"
        graph = with_fast_zero_points(files[name], task == "encode", dot_products())  # as the codec loads it
        session = open_session(graph, name, threads)
        (port,) = session.get_inputs()
        for key, x in slices(task, values):
            calls[key] = lambda session=session, feed={port.name: x}: session.run(None, feed)[0]
    return calls


def openvino_float32(material: Material, threads: int) -> Calls:
    """OpenVINO on the plain export."""
    import openvino

    models = {task: openvino.Core().read_model(material.plain[task]) for task in TASKS}
    return _openvino(models, material, threads)


def openvino_int8(material: Material, threads: int) -> Calls:
    """OpenVINO on the plain export, quantised by NNCF with training images and their latents."""
    # NNCF sends usage statistics unless this variable declares a test run. It is read at the import
    os.environ.setdefault("NNCF_CI", "1")
    import nncf
    import openvino

    train = torch.from_numpy(load_fashion_mnist(None).train)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:CALIBRATION_IMAGES]
    images = train[order].unsqueeze(1).float() / 255
    values = {"encode": images.numpy(), "decode": material.model.encoder(images).numpy()}
    models = {}
    for task in TASKS:
        samples = nncf.Dataset(np.split(values[task], CALIBRATION_IMAGES))
        with silenced():
            models[task] = nncf.quantize(
                openvino.Core().read_model(material.plain[task]),
                samples,
                target_device=nncf.TargetDevice.CPU,
                subset_size=CALIBRATION_IMAGES,
            )
    return _openvino(models, material, threads)


def _openvino(models: dict, material: Material, threads: int) -> Calls:
    import openvino

    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",  # of layers that are not int8; some CPUs would use bfloat16
        "ENABLE_CPU_PINNING": False,  # the process is already pinned
    }
    core = openvino.Core()
    calls: Calls = {}
    for task in TASKS:
        for key, x in slices(task, material.floats(task)):
            model = models[task].clone()
            model.reshape(x.shape)
            request = core.compile_model(model, "CPU", settings).create_infer_request()
            calls[key] = lambda request=request, x=x: request.infer([x], share_inputs=True, share_outputs=True)[0]
    return calls


def ncnn_float32(material: Material, threads: int) -> Calls:
    """ncnn with float32 weights, converted by pnnx. An ncnn network takes one image at a time.

    The default of ncnn, float16 between the layers, was not faster on CPUs that compute in float32.
    """
    import ncnn
    import pnnx

    calls: Calls = {}
    with tempfile.TemporaryDirectory(prefix="fmae-edge-") as scratch:
        for task in TASKS:
            x = material.floats(task)[0]
            example = torch.from_numpy(x[None])
            with silenced():
                pnnx.export(material.module(task), str(Path(scratch, f"{task}.pt")), (example,), fp16=False)
            net = ncnn.Net()
            net.opt.num_threads = threads
            net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
            net.load_param(str(Path(scratch, f"{task}.ncnn.param")))
            net.load_model(str(Path(scratch, f"{task}.ncnn.bin")))
            calls[task, 1] = lambda net=net, x=x: _extract(net, ncnn.Mat(x))
    return calls


def _extract(net, x) -> np.ndarray:
    extractor = net.create_extractor()
    extractor.input("in0", x)
    return np.array(extractor.extract("out0")[1])


def litert(material: Material, threads: int) -> Calls:
    """LiteRT with XNNPACK, its default, and one graph per batch size."""
    with silenced():  # it prints an error for each GPU kernel that it cannot import
        import litert_torch
    from ai_edge_litert.interpreter import Interpreter

    calls: Calls = {}
    with tempfile.TemporaryDirectory(prefix="fmae-edge-") as scratch:
        for task in TASKS:
            for key, x in slices(task, material.floats(task)):
                path = str(Path(scratch, f"{task}.tflite"))
                with silenced(), torch.inference_mode(False):  # torch.export cannot trace in inference mode
                    litert_torch.convert(material.module(task), (torch.from_numpy(x),)).export(path)
                    interpreter = Interpreter(model_content=Path(path).read_bytes(), num_threads=threads)
                    interpreter.allocate_tensors()
                calls[key] = _invoke(interpreter, x)
    return calls


def _invoke(interpreter, x: np.ndarray):
    takes = interpreter.get_input_details()[0]["index"]
    gives = interpreter.get_output_details()[0]["index"]

    def call() -> np.ndarray:
        interpreter.set_tensor(takes, x)
        interpreter.invoke()
        return interpreter.get_tensor(gives)

    return call


ENGINES = (
    Engine("PyTorch eager", (), eager),
    Engine("PyTorch compile", (), compiled),
    Engine("onnxruntime, plain export", (), onnxruntime_plain),
    Engine("OpenVINO float32", ("openvino",), openvino_float32),
    Engine("OpenVINO int8", ("openvino", "nncf"), openvino_int8, int8=True),
    Engine("ncnn float32", ("ncnn", "pnnx"), ncnn_float32),
    Engine("LiteRT float32", ("ai_edge_litert", "litert_torch"), litert),
    Engine("fmae-edge float32", (), ours_float32),
    Engine("fmae-edge int8", (), ours_int8, int8=True),
)
