"""spec/bundle.md is enough to read a bundle: its hashes are computed here from that page only."""

import hashlib
import json
import re

import numpy as np
import onnx
import pytest
import safetensors.numpy

from fmae_edge.runtime.bundle.bundle import (
    DEFAULT_BUNDLE,
    MAX_BUNDLE_BYTES,
    MAX_FILES,
    MAX_MANIFEST_BYTES,
    most_bytes,
)
from fmae_edge.runtime.bundle.gradient_check import most_of_gradient
from fmae_edge.runtime.bundle.gradient_operators import GRADIENT_OPERATORS
from fmae_edge.runtime.bundle.graph_check import Needs, most_needs
from fmae_edge.runtime.bundle.manifest import DECODER_NAME, GRADIENT_NAME, Manifest
from fmae_edge.runtime.bundle.onnx_file import FIELDS, IR_VERSIONS, OPSETS
from fmae_edge.runtime.bundle.operators import OPERATORS
from fmae_edge.runtime.errors import BundleError
from fmae_edge.runtime.self_test import GOLDEN_QUALITY, MAX_DIFFERENCES
from tests.conftest import REPOSITORY
from tests.manifest_changes import checksum_of

PAGE = (REPOSITORY / "spec/bundle.md").read_text()
MANIFEST = json.loads((DEFAULT_BUNDLE / "manifest.json").read_text())
FORMATS = [
    json.loads((REPOSITORY / f"fuzz/corpus/manifest/format-{version}.json").read_text()) for version in (1, 2, 3)
]
OPTIONAL = {"contrast_floors"}
SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
NUMBERS = (
    *(0.0125, 3.0, 1e-05, 1.5e-07, 1e16, 1e15, 0.0001, 0.1 + 0.2, 1 / 3, 123456.789, 1e-38, 5e-324, 2.5e22),
    *(0.0, -0.0, -3.0, -1e-05, -2.5e22, 9007199254740993.0, 1.7976931348623157e308),
)


def section(title):
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def printed(number):
    """Print a float64 as the page says, from its shortest decimal digits."""
    for digits in range(17):
        text = f"{number:.{digits}e}"
        if float(text) == number:
            break
    mantissa, exponent = text.split("e")
    if number and not -4 <= int(exponent) < 16:
        return f"{mantissa}e{exponent}"
    behind = max(len(mantissa.lstrip("-").replace(".", "")) - 1 - int(exponent), 1)
    return f"{number:.{behind}f}"


def quoted(text):
    units = np.frombuffer(text.encode("utf-16-le", "surrogatepass"), "<u2").tolist()
    letters = (SHORT.get(chr(unit)) or (chr(unit) if 0x20 <= unit <= 0x7E else f"\\u{unit:04x}") for unit in units)
    return f'"{"".join(letters)}"'


def canonical(value):
    if isinstance(value, dict):
        return f"{{{','.join(f'{quoted(key)}:{canonical(value[key])}' for key in sorted(value))}}}"
    if isinstance(value, list):
        return f"[{','.join(map(canonical, value))}]"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, float):
        return printed(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:d}"
    return {None: "null", True: "true", False: "false"}[value]


def sha256(text):
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def bundle_id(manifest):
    files, image, latent = manifest["files"], manifest["image"], manifest["latent"]
    decoders = ",".join(quoted(files[name]["sha256"]) for name in ("decoder.onnx", "decoder.fp32.onnx"))
    text = f'{{"decoders":[{decoders}],"image":[{image["channels"]},{image["height"]},{image["width"]}],'
    if "qualities" in manifest:
        qualities = manifest["qualities"]
        numbers = [printed(qualities["unit"]), *map(str, qualities["steps"])]
        text += f'"prior":{quoted(files["prior.safetensors"]["sha256"])},"qualities":[{",".join(numbers)}],'
    return sha256(f'{text}"steps":[{",".join(map(printed, latent["steps"]))}]}}')[:16]


def test_the_bundle_id_is_computed_as_the_page_says():
    assert bundle_id(MANIFEST) == MANIFEST["bundle_id"]
    for manifest in FORMATS:
        content = json.dumps(manifest).encode()
        assert bundle_id(manifest) == Manifest.from_json(content, "here").bundle_id


def test_the_program_on_the_page_computes_the_bundle_id():
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
    names = {"hashlib": hashlib, "json": json, **MANIFEST}
    del names["bundle_id"]
    exec(program, names)
    assert names["bundle_id"] == MANIFEST["bundle_id"]


def test_the_checksum_is_computed_as_the_page_says():
    odd = "".join(map(chr, range(0x120))) + "\u2028\ufeff\U0001fae8\ud800é"
    strange = {
        **FORMATS[0],
        "record": {odd: odd, "\uffff": -0.0, "\U00010000": 0, "a": [*NUMBERS, None, True, {}, []]},
    }
    for manifest in (MANIFEST, *FORMATS, strange):
        rest = {key: value for key, value in manifest.items() if key != "checksum"}
        checksum = sha256(canonical(rest))
        assert checksum == checksum_of(manifest)
        Manifest.from_json(json.dumps({**rest, "checksum": checksum}).encode(), "here")
        with pytest.raises(BundleError, match="does not match its own checksum"):
            Manifest.from_json(
                json.dumps({**rest, "checksum": sha256(canonical({**rest, "name": "x"}))}).encode(), "here"
            )


def test_the_manifest_has_the_hashes_of_the_files():
    for name, entry in MANIFEST["files"].items():
        content = (DEFAULT_BUNDLE / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["size"], entry["sha256"]), name


def test_numbers_are_printed_as_the_page_says():
    assert [printed(number) for number in NUMBERS] == list(map(json.dumps, NUMBERS))
    shown = re.findall(r"`(-?[\d.]+(?:e[+-]\d+)?)`", section("Canonical JSON").partition("A string")[0])
    assert {"0.0125", "3.0", "1e-05", "1.5e-07", "1e+16", "0.0", "-0.0"} == set(shown)
    assert [printed(float(number)) for number in shown] == shown


def test_every_field_of_the_manifest_is_on_the_page():
    rows = set(
        re.findall(r"`([a-z_0-9.*]+)`", "".join(re.findall(r"^\|([^|]+)\|", section("The manifest"), flags=re.M)))
    )
    top = {name.partition(".")[0] for name in rows}
    assert top == set(MANIFEST)
    for name in ("image", "latent", "qualities"):
        described = {field.partition(".")[2] for field in rows if field.startswith(f"{name}.")}
        assert described | OPTIONAL == set(MANIFEST[name]) | OPTIONAL
    assert {"files.*.size", "files.*.sha256"} < rows


def test_the_tensors_of_the_prior_are_on_the_page():
    text = section("The prior: prior.safetensors")
    tensors = safetensors.numpy.load((DEFAULT_BUNDLE / "prior.safetensors").read_bytes())
    assert {name for name in tensors if not name.startswith("groups.")} == {"tables", "narrower"}
    for name in ("`tables`", "`narrower`", "`centres`", "`groups.g.0`", "`weights`", "`bias`", "`shift`"):
        assert name in text


def test_the_golden_vectors_are_on_the_page():
    rows = re.findall(
        r"^\| `([\w.]+)` \| (?:(\w+) \(|the same)", section("Golden vectors: golden.safetensors"), flags=re.M
    )
    tensors = safetensors.numpy.load((DEFAULT_BUNDLE / "golden.safetensors").read_bytes())
    assert {name for name, _ in rows} == set(tensors)
    assert all(tensors[name].dtype == dtype for name, dtype in rows if dtype)
    assert tensors["file"][2] & 15 == GOLDEN_QUALITY
    allowed = re.findall(r"differs by at most ([\d.e-]+)", section("Golden vectors: golden.safetensors"))
    assert list(map(float, allowed)) == [*MAX_DIFFERENCES["fp32"], *MAX_DIFFERENCES["int8"]]


def test_the_rules_for_graphs_are_on_the_page():
    text = " ".join(section("Graphs").split())
    operators = text.partition("These operators: ")[2].partition(". [operators.py]")[0]
    assert re.findall(r"`([\w.]+)`", operators) == sorted(OPERATORS, key=lambda name: ("." in name, name))
    first, last = re.search(r"IR version (\d+) to (\d+)", text).groups()
    assert (int(first), int(last)) == (IR_VERSIONS[0], IR_VERSIONS[-1])
    assert f"ONNX opset {OPSETS['']} and of `com.microsoft` version {OPSETS['com.microsoft']}" in text


def test_attributes_and_fields_of_graphs_are_on_the_page():
    text = section("Graphs")
    shared = re.search(r"attributes of a convolution are (.*?)\. h and w", " ".join(text.split()))[1]
    for operator, (_, known) in OPERATORS.items():
        (row,) = re.findall(rf"^\| `{re.escape(operator)}` \|(.*)\|$", text, re.MULTILINE)
        attributes = row.split("|")[2].replace("those of a convolution", shared)
        assert set(re.findall(r"`(\w+)`", attributes)) == set(known), operator
    for message in ("Model", "OperatorSetId", "Graph", "ValueInfo"):
        (row,) = re.findall(rf"^\| {message} \|(.*)\|$", text, re.MULTILINE)
        assert list(map(int, row.split(","))) == list(FIELDS[message])
    (tensor,) = re.findall(r"^\| Tensor \| ([\d, ]+);", text, re.MULTILINE)
    assert list(map(int, tensor.split(","))) == list(FIELDS["Tensor"])


def test_the_rules_for_gradients_are_on_the_page():
    text = " ".join(section("The gradient: decoder.gradient.onnx").split())
    operators = text.partition("These operators: ")[2].partition(". [gradient_operators.py]")[0]
    assert re.findall(r"`(\w+)`", operators) == sorted(GRADIENT_OPERATORS)
    most = Needs(1, 1, 1, 1, 1)
    assert most_of_gradient(most) == Needs(1, 3, 2, 2, 1)
    assert "three times the numbers in the results of all operators, twice the multiply-adds, and" in text
    graphs = {name: onnx.load(DEFAULT_BUNDLE / name).graph for name in (GRADIENT_NAME, DECODER_NAME)}
    ports = [port.name for port in (*graphs[GRADIENT_NAME].input, *graphs[GRADIENT_NAME].output)]
    named = re.findall(r"put `(\w+)` \|", section("The gradient: decoder.gradient.onnx"))
    assert named == [*ports[:2], *ports[-2:]]
    weights = {one.name for one in graphs[DECODER_NAME].initializer if one.data_type == onnx.TensorProto.FLOAT}
    assert set(ports[2:-2]) == weights


@pytest.mark.parametrize(("pixels", "latents"), [(784, 64), (100, 2), (3 * 96 * 96, 16383)])
def test_the_limits_are_on_the_page(pixels, latents):
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", section("Limits"), flags=re.M))
    given = {"pixels": pixels, "latents": latents, "size": max(pixels + latents, 1024)}

    def limit(row):
        text = rows[row].replace(",", "").replace(" x ", " * ").replace("MiB", "* 1048576")
        return eval(text, given)

    most = most_needs(pixels, latents)
    assert limit("all files together, without the manifest") == MAX_BUNDLE_BYTES
    assert 4 * most.weights + limit("any other file") == most_bytes("encoder.onnx", pixels, latents)
    assert limit("`prior.safetensors`") == most_bytes("prior.safetensors", pixels, latents)
    assert limit("`golden.safetensors`") == most_bytes("golden.safetensors", pixels, latents)
    assert limit("any other file") == most_bytes("notes.txt", pixels, latents)
    assert limit("any other file") == most_bytes(GRADIENT_NAME, pixels, latents) == 1 << 20  # as on the page
    assert limit("weights: numbers in the constants of a graph") == most.weights
    assert limit("operators of a graph") == most.operators
    assert limit("numbers in one operator's result, for one image") == most.values_at_once
    assert limit("numbers in the results of all operators, for one image") == most.values
    assert limit("multiply-adds for one image") == most.multiply_adds
    manifest = section("The manifest")
    assert f"at most {MAX_MANIFEST_BYTES >> 20} MiB" in manifest
    assert f"at most {MAX_FILES} |" in manifest
