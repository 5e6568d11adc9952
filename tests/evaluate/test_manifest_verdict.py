"""The manifest of a bundle keeps the verdict, and nothing else in the bundle changes."""

import json

import pytest

from fmae_edge import Codec
from fmae_edge.evaluate.evaluation_files import keep_verdict
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.errors import BundleError, OutputError
from tests.manifest_changes import checksum_of, rewrite

VERDICT = {"sentences": ["One image per file: 70 % fewer bytes."], "images": 1000}


def test_only_the_verdict_and_the_checksum_change(bundle, images):
    before = json.loads((bundle / "manifest.json").read_text())
    file = Codec(bundle).compress(images[0])
    for verdict in ({"sentences": []}, VERDICT):  # a later verdict replaces the earlier one
        keep_verdict(bundle, before["bundle_id"], verdict)
    after = json.loads((bundle / "manifest.json").read_text())
    assert after["record"].pop("verdict") == VERDICT
    assert after["checksum"] == checksum_of({**after, "record": {**after["record"], "verdict": VERDICT}})
    assert after["checksum"] != before["checksum"]
    assert {**after, "checksum": None} == {**before, "checksum": None}
    assert read_bundle(bundle).manifest.bundle_id == before["bundle_id"]
    assert Codec(bundle).compress(images[0]) == file


def test_the_built_in_bundle_is_never_changed():
    content = (DEFAULT_BUNDLE / "manifest.json").read_bytes()
    for path in (DEFAULT_BUNDLE, DEFAULT_BUNDLE / ".." / DEFAULT_BUNDLE.name):
        with pytest.raises(OutputError, match="is a built-in bundle"):
            keep_verdict(path, Codec().manifest.bundle_id, VERDICT)
    assert (DEFAULT_BUNDLE / "manifest.json").read_bytes() == content


def test_another_or_a_damaged_bundle_is_not_changed(bundle):
    before = (bundle / "manifest.json").read_bytes()
    with pytest.raises(OutputError, match="now has another bundle"):
        keep_verdict(bundle, "0123456789abcdef", VERDICT)
    with pytest.raises(OutputError, match="would have more than"):
        keep_verdict(bundle, json.loads(before)["bundle_id"], {"sentences": ["x" * (2 << 20)]})
    assert (bundle / "manifest.json").read_bytes() == before
    rewrite(bundle, lambda content: content.update(name="other"), checksum=False)
    with pytest.raises(BundleError, match="checksum"):
        keep_verdict(bundle, json.loads(before)["bundle_id"], VERDICT)


def test_info_prints_the_verdict(cli, bundle):
    plain = cli("info", "bundle").stdout
    keep_verdict(bundle, json.loads((bundle / "manifest.json").read_text())["bundle_id"], VERDICT)
    done = cli("info", "bundle")
    assert (done.returncode, done.stdout.replace("\n" + VERDICT["sentences"][0] + "\n", "", 1)) == (0, plain)
    assert json.loads(cli("info", "bundle", "--json").stdout)["record"]["verdict"] == VERDICT
