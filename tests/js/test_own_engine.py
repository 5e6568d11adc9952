"""The JavaScript engine without onnxruntime computes what onnxruntime computes: each operator, and bundles."""

from io import BytesIO
from zipfile import ZipFile

import numpy as np
import onnxruntime as ort

from fmae_edge.runtime.bundle.operators import OPERATORS
from tests.conftest import REPOSITORY
from tests.js.node import needs_node
from tests.js.operator_chains import RANDOM, chains
from tests.js.own_engine import Case, outcomes

pytestmark = needs_node


def expected(case):
    """Return what onnxruntime computes, as the engine returns it."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(case.graph, options, providers=["CPUExecutionProvider"])
    (port,) = session.get_inputs()
    values = case.values
    if case.kind == "encoder" and port.type == "tensor(float)":
        values = values.astype(np.float32) / np.float32(255)
    (result,) = session.run(None, {port.name: values})
    if case.kind == "decoder" and result.dtype == np.float32:
        result = np.rint(result.clip(0, 1) * np.float32(255)).astype(np.uint8)
    return result


def test_every_operator_computes_what_onnxruntime_computes():
    assert {operator for *_, operators in chains() for operator in operators} == set(OPERATORS)
    results = outcomes([case for case, *_ in chains()])
    for (case, exact, operators), result in zip(chains(), results, strict=True):
        assert isinstance(result, np.ndarray), (operators, result)
        wanted = expected(case)
        where = f"{operators} of {case.image}"
        assert np.ptp(wanted) > 0, where
        if exact:
            np.testing.assert_array_equal(result, wanted, where)
        else:
            np.testing.assert_allclose(result, wanted, rtol=0, atol=2e-6 * np.ptp(wanted), err_msg=where)


def test_graphs_that_export_writes_compute_what_onnxruntime_computes():
    """RGB images, layers that stay in float among those of levels, and both precisions."""
    cases = []
    with ZipFile(BytesIO((REPOSITORY / "fuzz/corpus/bundle/rgb.zip").read_bytes())) as bundle:
        for suffix in (".onnx", ".fp32.onnx"):
            images = RANDOM.integers(0, 256, (7, 3, 8, 8)).astype(np.uint8)
            encoding = Case(bundle.read(f"encoder{suffix}"), "encoder", (3, 8, 8), 2, images)
            latents = expected(encoding)
            cases += [encoding, Case(bundle.read(f"decoder{suffix}"), "decoder", (3, 8, 8), 2, latents)]
    for case, result in zip(cases, outcomes(cases), strict=True):
        wanted = expected(case)
        assert np.ptp(wanted) > 0
        if case.kind == "decoder":
            np.testing.assert_array_equal(result, wanted)
        else:
            np.testing.assert_allclose(result, wanted, rtol=0, atol=2e-6 * np.ptp(wanted))
