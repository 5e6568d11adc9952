"""A site has everything that the page loads and nothing else, and is written completely or not at all."""

import json
import re
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from fmae_edge.page.site import build_site, write_site
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE
from fmae_edge.runtime.bundle.manifest import Manifest
from fmae_edge.runtime.errors import BundleError, OutputError
from tests.conftest import REPOSITORY

IMPORT = re.compile(r"""(?:^import|^export|\bfrom|\bimport\(|new URL\()\s*"(\.[^"]+|[\w_]+\.js)\"""", re.M)


@pytest.fixture(scope="module")
def site():
    return build_site(DEFAULT_BUNDLE)


def test_the_files_of_the_bundle_are_those_of_its_folder(site):
    found = {name.removeprefix("bundle/") for name in site.files if name.startswith("bundle/")}
    assert found == {"manifest.json", "encoder.onnx", "decoder.onnx", "prior.safetensors", "golden.safetensors"}
    for name in found:
        assert site.files[f"bundle/{name}"] == (DEFAULT_BUNDLE / name).read_bytes()


def test_scripts_are_the_files_of_js_as_they_are(site):
    for name, content in site.files.items():
        if name.startswith("js/"):
            assert content == (REPOSITORY / name).read_bytes()
            assert not {"tests", "node_modules", "benchmarks"} & set(PurePosixPath(name).parts)
    assert site.files["index.html"] == (REPOSITORY / "js/page/index.html").read_bytes()


def test_every_module_that_is_imported_is_there(site):
    left, seen = ["js/page/page.js", "js/page/coding_worker.js"], set()
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            folder = Path(name).parent
            text = site.files[name].decode()
            left += [(Path("/") / folder / target).resolve().as_posix()[1:] for target in IMPORT.findall(text)]
    assert "js/engine/own.js" in seen
    assert "js/codec.js" in seen


def test_the_page_names_no_other_host(site):
    index = site.files["index.html"].decode()
    assert "default-src 'self'" in index
    assert not re.search(r"<script(?! type=\"module\" src=)", index)
    assert not re.search(r"\b(style|on\w+)=\"", index)  # the policy would block them
    for name in re.findall(r'(?:src|href)="([^"]+)"', index):
        assert name in site.files or name == "data:,", name
    for name, content in site.files.items():
        if name.startswith("js/page/"):
            assert b"http:" not in content, name
            assert b"https:" not in content, name


def test_a_bundle_without_a_prior_is_refused(bundle):
    path = bundle / "manifest.json"
    path.write_text(replace(Manifest.from_json(path.read_bytes(), "it"), qualities=None).to_json())
    with pytest.raises(BundleError, match=r"has no prior\.safetensors, so a page cannot make"):
        build_site(bundle)


def test_a_bundle_without_golden_vectors_has_no_examples(bundle):
    path = bundle / "manifest.json"
    manifest = Manifest.from_json(path.read_bytes(), "it")
    files = {name: entry for name, entry in manifest.files.items() if name != "golden.safetensors"}
    path.write_text(replace(manifest, files=files).to_json())
    assert "bundle/golden.safetensors" not in build_site(bundle).files


@pytest.mark.parametrize("name", ["encoder.onnx", "decoder.onnx", "prior.safetensors"])
def test_a_damaged_bundle_is_refused(bundle, name):
    content = bytearray((bundle / name).read_bytes())
    content[1000] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name} does not match the SHA-256"):
        build_site(bundle)


def written(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_site_is_written_as_it_is(site, tmp_path):
    write_site(site, tmp_path / "site")
    assert written(tmp_path / "site") == site.files
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_an_existing_site_stays_unless_forced(site, tmp_path):
    target = tmp_path / "site"
    write_site(site, target)
    (target / "index.html").write_text("old")
    with pytest.raises(OutputError, match="already exists; use --force to replace it"):
        write_site(site, target)
    assert (target / "index.html").read_text() == "old"
    write_site(site, target, force=True)
    assert written(target) == site.files
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


@pytest.mark.parametrize("extra", ["thesis.tex", ".git"])
def test_a_folder_with_other_files_is_never_replaced(site, tmp_path, extra):
    target = tmp_path / "site"
    write_site(site, target)
    (target / extra).write_text("precious")
    with pytest.raises(OutputError, match="contains more than a page, so it is not replaced"):
        write_site(site, target, force=True)
    assert (target / extra).read_text() == "precious"


def test_a_folder_that_is_not_a_page_is_never_replaced(site, tmp_path):
    write_site(site, tmp_path / "page")
    (tmp_path / "link").symlink_to("page")
    (tmp_path / "file").write_text("precious")
    for name in (".", "link", "file"):
        with pytest.raises(OutputError, match="contains more than a page"):
            write_site(site, tmp_path / name, force=True)
    assert (tmp_path / "file").read_text() == "precious"
    assert (tmp_path / "link").is_symlink()


def test_a_site_that_cannot_be_completed_leaves_nothing(site, tmp_path, monkeypatch):
    write = Path.write_bytes

    def fail_late(path, content):
        if path.name == "prior.safetensors":
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fail_late)
    with pytest.raises(OutputError, match=r"site: cannot be written \(No space left on device\)"):
        write_site(site, tmp_path / "site")
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_of_a_site_parses(site):
    assert json.loads(site.files["bundle/manifest.json"])["bundle_id"] == site.manifest.bundle_id
