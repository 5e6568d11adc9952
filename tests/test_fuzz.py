"""The readers handle the fuzzer's corpus, and the fuzzer detects errors, crashes, hangs and excess."""

import mmap
import random
import sys
import time

import pytest

from fmae_edge import FmaeError
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fuzz import limits, watch
from fuzz.containers import mutate_image
from fuzz.findings import find, save_finding
from fuzz.headers import repair_fmae
from fuzz.limits import measure, measure_twice
from fuzz.page import Page
from fuzz.targets import CORPUS, TARGETS
from fuzz.tiff import mutate_tiff, parse_tiff, tiff_bytes
from tests.conftest import REPOSITORY

SEEDS = [(name, path) for name in TARGETS for path in sorted((CORPUS / name).iterdir())]
DEFAULT_ID = read_bundle(DEFAULT_BUNDLE, only=()).manifest.bundle_id
MOST_BYTES_OF_A_SEED, MOST_BYTES = 20_000, 1_000_000
WRONG = """
from dataclasses import replace
from fuzz import one

calls = []

def run(content):
    calls.append(content)
    if len(calls) == 30:
        raise ValueError("wrong on purpose")

one.main(replace(one.TARGETS["npy"], run=run))
"""
# Runs instead of fuzz.one: starts two inputs and does not finish the second
STUCK = """
import os, sys, time
from pathlib import Path
from fuzz.page import Page

page = Page(Path(sys.argv[2]) / "page", 4096)
page.start(b"good")
page.finish()
page.record(0.25, 3)
page.start(b"bad")
{}
"""


def accepts(name, path):
    """Return whether a reader accepts a seed. It must neither fail nor exceed a limit.

    As in the fuzzer, files of the default bundle get its id, which may have changed since the seeds were written.
    """
    taken = []

    def run(content):
        TARGETS[name].run(content)
        taken.append(content)

    content = path.read_bytes()
    found = measure_twice(run, repair_fmae(content, DEFAULT_ID) if name == "fmae" else content)
    assert not found.problem, found
    return bool(taken)


@pytest.mark.parametrize(("name", "path"), SEEDS, ids=lambda value: getattr(value, "name", value))
def test_the_corpus_raises_only_fmae_errors_and_stays_within_the_limits(name, path):
    accepts(name, path)


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_accepts_a_file_of_its_corpus(name):
    assert any(accepts(name, path) for path in sorted((CORPUS / name).iterdir()))


def test_every_corpus_has_a_target_and_is_small():
    sizes = [path.stat().st_size for _, path in SEEDS]
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    assert max(sizes) < MOST_BYTES_OF_A_SEED
    assert sum(sizes) < MOST_BYTES


def test_time_memory_and_errors_of_an_input_are_measured(monkeypatch):
    monkeypatch.setattr(limits, "MAX_SECONDS", 0.5)
    monkeypatch.setattr(limits, "MAX_MEGABYTES", 30.0)

    def slow(content):
        end = time.process_time() + 0.51
        while time.process_time() < end:
            pass

    def hungry(content):
        # Not numpy: malloc may reuse memory that an earlier test freed, which is already resident
        mmap.mmap(-1, 40 << 20).write(bytes(40 << 20))

    def refuses(content):
        raise FmaeError("no")

    def wrong(content):
        raise KeyError("x")

    kinds = [measure(run, b"").problem for run in (slow, hungry, refuses, wrong, len)]
    assert kinds == ["slow", "memory", "", "error", ""]
    assert "test_fuzz.py" in measure(wrong, b"").place


def test_each_place_in_the_code_is_saved_once(tmp_path):
    assert save_finding(tmp_path, "error", b"1", "here")
    assert not save_finding(tmp_path, "error", b"2", "here")
    assert save_finding(tmp_path, "error", b"3", "there")
    assert [path.read_bytes() for path in find(tmp_path)] in ([b"1", b"3"], [b"3", b"1"])


@pytest.mark.parametrize(
    ("does", "kind"),
    [
        ("while True: pass", "killed"),
        ("time.sleep(60)", "killed"),
        ("held = []\nwhile True: held.append(bytes(1 << 20).replace(b'0', b'1')); time.sleep(.001)", "killed"),
        ("os.abort()", "crash"),
        ("os._exit(3)", "crash"),
    ],
    ids=["busy", "idle", "memory", "abort", "exit"],
)
def test_an_input_that_hangs_or_crashes_is_saved(tmp_path, monkeypatch, does, kind):
    script = tmp_path / "stuck.py"
    script.write_text(STUCK.format(does))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setattr(watch, "FUZZ", (sys.executable, str(script)))
    monkeypatch.setattr(watch, "MOST", (0.3, 0.6, 100))
    found = watch.fuzz_target("npy", TARGETS["npy"], tmp_path / "out", None, 2, seed=1)
    assert (found.inputs, found.seconds, found.megabytes, found.broken) == (2, 0.25, 3, False)
    (saved,) = found.findings
    assert saved.name.startswith(kind)
    assert saved.read_bytes() == b"bad"


@pytest.mark.parametrize("does", ["raise SystemExit(1)", "import time; time.sleep(60)"])
def test_a_failure_of_the_fuzzer_itself_is_reported(tmp_path, monkeypatch, does):
    monkeypatch.setattr(watch, "FUZZ", (sys.executable, "-c", does))
    monkeypatch.setattr(watch, "START_SECONDS", 0.3)
    assert watch.fuzz_target("npy", TARGETS["npy"], tmp_path, None, 2, seed=1).broken


def test_the_fuzzer_saves_the_input_on_which_a_reader_fails(tmp_path, monkeypatch, capsys):
    pytest.importorskip("atheris")
    from fuzz import __main__ as driver

    script = tmp_path / "wrong.py"
    script.write_text(WRONG)
    monkeypatch.setattr(watch, "FUZZ", (sys.executable, str(script)))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    assert (
        driver.main(["--target", "npy", "--inputs", "60", "--seed", "1", "--output", str(tmp_path / "out")]) == 1
    )
    (saved,) = (tmp_path / "out" / "npy").glob("error-*")
    said = capsys.readouterr().out
    assert f"failed on {saved}" in said
    assert "npy: 60 inputs" in said
    assert "FAILED" in said
    assert "wrong on purpose" in (tmp_path / "out" / "npy" / "log.txt").read_text()


def test_two_processes_share_a_page(tmp_path):
    ours, theirs = (Page(tmp_path / "page", 100) for _ in range(2))
    ours.start(b"one")
    assert (theirs.read().started, theirs.read().finished, theirs.read().content) == (1, 0, b"one")
    ours.finish()
    ours.record(0.5, 7)
    ours.record(0.25, 3)
    assert (theirs.read().finished, theirs.read().seconds, theirs.read().megabytes) == (1, 0.5, 7)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # about damaged tags, which image_file ignores too
@pytest.mark.parametrize(
    "name", ["image", "jpeg", "tiff", "fmae", "fmae-golden", "packet", "bare", "npy", "graph", "bundle"]
)
def test_readers_accept_some_changed_files(name):
    """One in twenty changed files is still read. Otherwise the code after the checks is not fuzzed."""
    target, generator = TARGETS[name], random.Random(1)
    seeds = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]

    def change(content):
        at = generator.randrange(len(content) + 1)
        return content[:at] + b"\1" + content[at + 1 :]

    accepted, changes = 0, 200
    for _ in range(changes):
        changed = target.mutate(generator.choice(seeds), change, generator)
        assert len(changed) < 1 << 24
        if len(changed) > target.small_bytes:
            continue
        try:
            target.run(changed)
            accepted += 1
        except FmaeError:
            pass
    assert accepted >= changes / 20


@pytest.mark.parametrize("name", TARGETS)
def test_mutators_accept_any_bytes(name):
    """Each change starts from the previous result, as in the fuzzer."""
    target, generator = TARGETS[name], random.Random(1)
    seeds = [b"", *(path.read_bytes() for path in sorted((CORPUS / name).iterdir()))]

    def change(content):
        at = generator.randrange(len(content) + 1)
        return content[: at - 1] + bytes([generator.choice((0, 1, 127, 128, 255))]) + content[at:]

    content = b""
    for _ in range(100):
        content = target.mutate(content, change, generator)
        assert isinstance(content, bytes)
        if len(content) > target.small_bytes or generator.randrange(8) == 0:
            content = generator.choice(seeds)


@pytest.mark.parametrize("path", sorted((CORPUS / "tiff").iterdir()), ids=lambda path: path.name)
def test_tiff_files_are_parsed_and_written_without_loss(path):
    content = path.read_bytes()
    tiff = parse_tiff(content)
    again = parse_tiff(tiff_bytes(tiff))
    places = {273, 324}
    assert [frame.strips for frame in again.frames] == [frame.strips for frame in tiff.frames]
    for ours, theirs in zip(tiff.frames, again.frames, strict=True):
        assert {tag: ours.entries[tag].count for tag in ours.entries.keys() - places} == {
            tag: theirs.entries[tag].count for tag in theirs.entries.keys() - places
        }


def test_the_same_seed_gives_the_same_changes():
    content = (CORPUS / "tiff" / "frames.tiff").read_bytes()
    for mutate in (mutate_tiff, mutate_image):
        runs = [[mutate(content, bytes, generator) for _ in range(50)] for generator in map(random.Random, (1, 1))]
        assert runs[0] == runs[1]


@pytest.mark.parametrize("path", sorted((CORPUS / "fmae-golden").iterdir()), ids=lambda path: path.name)
def test_repairing_a_valid_file_changes_nothing(path):
    assert repair_fmae(path.read_bytes(), "0123456789abcdef") == path.read_bytes()
