"""spec/manifest.schema.json accepts manifests that export writes, and refuses those that the runtime refuses."""

import copy
import json

import pytest
from jsonschema import Draft202012Validator

from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE
from fmae_edge.runtime.bundle.manifest import Manifest
from fmae_edge.runtime.errors import BundleError
from tests.conftest import REPOSITORY
from tests.manifest_changes import checksum_of

SCHEMA = Draft202012Validator(json.loads((REPOSITORY / "spec/manifest.schema.json").read_text()))
MANIFEST = json.loads((DEFAULT_BUNDLE / "manifest.json").read_text())
# The runtime refuses these too
BROKEN = {
    "no files": lambda m: m.pop("files"),
    "no record": lambda m: m.pop("record"),
    "no name": lambda m: m.pop("name"),
    "no checksum": lambda m: m.pop("checksum"),
    "a name that is a number": lambda m: m.update(name=1),
    "format version 0": lambda m: m.update(format_version=0),
    "format version 4": lambda m: m.update(format_version=4),
    "a format version that is text": lambda m: m.update(format_version="3"),
    "no width": lambda m: m["image"].pop("width"),
    "a height of 0": lambda m: m["image"].update(height=0),
    "a height of 4097": lambda m: m["image"].update(height=4097),
    "half a channel": lambda m: m["image"].update(channels=0.5),
    "no latents": lambda m: m["latent"].update(steps=[]),
    "65,537 latents": lambda m: m["latent"].update(steps=[0.5] * 65537),
    "16,384 latents in .fmae files": lambda m: m["latent"].update(steps=[0.5] * 16384),
    "a step of 0": lambda m: m["latent"]["steps"].__setitem__(3, 0.0),
    "a step of 1e37": lambda m: m["latent"]["steps"].__setitem__(3, 1e37),
    "8 qualities": lambda m: m["qualities"]["steps"].pop(),
    "a quality's step of 1.5": lambda m: m["qualities"]["steps"].__setitem__(0, 1.5),
    "a quality's step of 4097": lambda m: m["qualities"]["steps"].__setitem__(0, 4097),
    "a negative unit": lambda m: m["qualities"].update(unit=-0.5),
    "a bit that costs 2": lambda m: m["qualities"]["bit_costs"].__setitem__(0, 2.0),
    "8 contrast floors": lambda m: m["qualities"].update(contrast_floors=[3.0] * 8),
    "a contrast floor of 201 dB": lambda m: m["qualities"].update(contrast_floors=[3.0] * 8 + [201.0]),
    "a contrast floor that is text": lambda m: m["qualities"].update(contrast_floors=[3.0] * 8 + ["3"]),
    "contrast floors that are null": lambda m: m["qualities"].update(contrast_floors=None),
    "no encoder": lambda m: m["files"].pop("encoder.onnx"),
    "qualities without a prior": lambda m: m["files"].pop("prior.safetensors"),
    "a file outside": lambda m: m["files"].update({"../x": m["files"]["encoder.onnx"]}),
    "a hidden file": lambda m: m["files"].update({".x": m["files"]["encoder.onnx"]}),
    "a negative size": lambda m: m["files"]["encoder.onnx"].update(size=-1),
    "a file without a hash": lambda m: m["files"]["encoder.onnx"].pop("sha256"),
    "a hash in upper case": lambda m: m["files"]["encoder.onnx"].update(sha256="A" * 64),
    "a hash of 63 digits": lambda m: m["files"]["encoder.onnx"].update(sha256="a" * 63),
    "a record that is a list": lambda m: m.update(record=[]),
}
# No writer makes these, but the runtime reads them, because it ignores fields that it does not need
UNKNOWN = {
    "no bundle id": lambda m: m.pop("bundle_id"),
    "no latent size": lambda m: m["latent"].pop("size"),
    "version 3 without qualities": lambda m: m.pop("qualities"),
    "version 2 with qualities": lambda m: m.update(format_version=2),
    "an unknown field": lambda m: m.update(colour="red"),
    "an unknown field of a file": lambda m: m["files"]["encoder.onnx"].update(mode=0o644),
}


def changed(change):
    manifest = copy.deepcopy(MANIFEST)
    change(manifest)
    if "checksum" in manifest:
        manifest["checksum"] = checksum_of(manifest)
    return manifest


def test_the_schema_accepts_the_default_bundle_and_older_formats():
    Draft202012Validator.check_schema(SCHEMA.schema)
    SCHEMA.validate(MANIFEST)
    for version in (1, 2, 3):
        SCHEMA.validate(json.loads((REPOSITORY / f"fuzz/corpus/manifest/format-{version}.json").read_text()))


def test_the_schema_accepts_bundles_without_qualities():
    manifest = Manifest.from_json(json.dumps(changed(lambda m: m.pop("qualities"))).encode(), "here")
    SCHEMA.validate(json.loads(manifest.to_json()))


@pytest.mark.parametrize("floors", [None, [3.0, -1.5, *[200.0] * 7]])
def test_contrast_floors_are_optional_and_do_not_change_the_bundle_id(floors):
    def change(manifest):
        manifest["qualities"].pop("contrast_floors", None)
        if floors is not None:
            manifest["qualities"]["contrast_floors"] = floors

    manifest = Manifest.from_json(json.dumps(changed(change)).encode(), "here")
    assert manifest.bundle_id == MANIFEST["bundle_id"]
    assert manifest.qualities.contrast_floors == (None if floors is None else tuple(floors))
    written = json.loads(manifest.to_json())
    SCHEMA.validate(written)
    assert written["qualities"].get("contrast_floors") == floors


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_the_schema_refuses_manifests_that_the_runtime_refuses(change):
    manifest = changed(change)
    assert not SCHEMA.is_valid(manifest)
    with pytest.raises(BundleError):
        Manifest.from_json(json.dumps(manifest).encode(), "here")


@pytest.mark.parametrize("change", UNKNOWN.values(), ids=UNKNOWN)
def test_the_schema_refuses_manifests_that_no_writer_makes(change):
    manifest = changed(change)
    assert not SCHEMA.is_valid(manifest)
    Manifest.from_json(json.dumps(manifest).encode(), "here")
