"""`fmae-edge page` writes a page, or serves it until Ctrl-C, or says why it cannot."""

import json
import os
import resource
import signal
import subprocess
import urllib.request

import pytest

from tests.commands.permissions import obey_permissions
from tests.conftest import COMMAND


def run(folder, *arguments, prepare=None):
    """Run the command to its end in a process of its own."""
    return subprocess.run(
        [COMMAND, "page", *arguments], cwd=folder, preexec_fn=prepare, capture_output=True, text=True, check=False
    )


def test_the_default_folder(cli, tmp_path):
    done = cli("page")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("wrote site: ")
    assert (tmp_path / "site" / "index.html").is_file()
    done = cli("page")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "fmae-edge: site: already exists; use --force to replace it\n"
    assert cli("page", "--force").returncode == 0


def test_bundles_by_name_and_folder(cli, tmp_path, bundle):
    for index, (given, name) in enumerate((("detail", "detail"), (bundle, "fashion-mnist"))):
        assert cli("page", given, "-o", f"{index}/").returncode == 0
        assert json.loads((tmp_path / str(index) / "bundle/manifest.json").read_bytes())["name"] == name


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("nowhere",), 1, "nowhere: no such bundle folder; the built-in bundles are default and detail"),
        (
            ("-o", "missing/site"),
            1,
            "missing/site: its parent folder cannot be written to (No such file or directory)",
        ),
        (("-o", "."), 1, ".: contains more than a page, so it is not replaced; choose another folder"),
        (("-o", "-"), 2, "-o is -, but a page is a folder of several files; give the path of the folder"),
    ],
)
def test_what_cannot_be_done(cli, tmp_path, arguments, code, sentence):
    done = cli("page", *arguments, "--force")
    assert (done.returncode, done.stdout, done.stderr) == (code, "", f"fmae-edge: {sentence}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_bundle(cli, tmp_path, bundle):
    (bundle / "decoder.onnx").write_bytes(b"")
    done = cli("page", bundle)
    assert (done.returncode, done.stdout) == (1, "")
    assert "decoder.onnx does not match the SHA-256 in the manifest" in done.stderr
    assert not (tmp_path / "site").exists()


def test_a_full_disk_leaves_nothing(tmp_path):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = run(tmp_path, prepare=limit)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "fmae-edge: site: cannot be written (File too large)\n"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_read_only(tmp_path):
    tmp_path.chmod(0o500)
    try:
        done = run(tmp_path, prepare=obey_permissions)
    finally:
        tmp_path.chmod(0o700)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "fmae-edge: site: its parent folder cannot be written to (Permission denied)\n"


@pytest.mark.parametrize("options", [(), ("--json", "-o", "site")])
def test_serving_until_ctrl_c(tmp_path, options):
    environment = {name: value for name, value in os.environ.items() if "DISPLAY" not in name}
    with subprocess.Popen(
        [COMMAND, "page", "--serve", *options],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:
        line = running.stdout.readline()
        while "http" not in line:
            line = running.stdout.readline()
        url = json.loads(line)["url"] if options else line.split()[0]
        try:
            with urllib.request.urlopen(url) as answer:
                assert b"<!doctype html>" in answer.read()
        finally:
            running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=20)
    assert (running.returncode, out, err) == (0, "", "")
    assert (tmp_path / "site").exists() == bool(options)


@pytest.mark.parametrize(("display", "opened"), [("", 0), (":0", 1)])
def test_a_browser_is_opened_only_where_it_has_a_window(cli, monkeypatch, display, opened):
    urls = []
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("webbrowser.open", urls.append)
    monkeypatch.setattr("http.server.ThreadingHTTPServer.serve_forever", lambda _: None)
    monkeypatch.setattr("sys.platform", "linux")
    done = cli("page", "--serve")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(" has the page of bundle fashion-mnist; Ctrl-C ends it\n")
    assert len(urls) == opened
