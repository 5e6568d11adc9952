"""The fuzzer's corpus through the readers, and the fuzzer itself: it notices what it is there for."""

import sys

import pytest

from fmae_edge import FmaeError
from fuzz.targets import CORPUS, TARGETS
from tests.conftest import REPOSITORY

SEEDS = [(name, path) for name in TARGETS for path in sorted((CORPUS / name).iterdir())]
WRONG = """
import sys
from dataclasses import replace
from fuzz import one

calls = []

def run(content):
    calls.append(content)
    if len(calls) == 100:
        raise ValueError("wrong on purpose")

one.fuzz(replace(one.TARGETS["npy"], run=run), sys.argv[2:])
"""


def accepts(name, path):
    try:
        TARGETS[name].run(path.read_bytes())
    except FmaeError:
        return False
    return True


@pytest.mark.parametrize(("name", "path"), SEEDS, ids=lambda value: getattr(value, "name", value))
def test_a_corpus_raises_nothing_but_fmae_errors(name, path):
    accepts(name, path)


@pytest.mark.parametrize("name", TARGETS)
def test_a_corpus_leads_past_the_checks(name):
    assert any(accepts(name, path) for path in sorted((CORPUS / name).iterdir()))


def test_every_corpus_has_a_target():
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)


def test_the_fuzzer_saves_what_a_wrong_reader_fails_on(tmp_path, monkeypatch, capsys):
    pytest.importorskip("atheris")
    from fuzz import __main__ as driver

    script = tmp_path / "wrong.py"
    script.write_text(WRONG)
    monkeypatch.setattr(driver, "COMMAND", (sys.executable, str(script)))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    assert driver.main(["--target", "npy", "--seconds", "30", "--output", str(tmp_path / "out")]) == 1
    (saved,) = (tmp_path / "out" / "npy").glob("crash-*")
    said = capsys.readouterr().out
    assert f"failed on {saved}" in said
    assert "npy: 100 inputs" in said
    assert "FAILED" in said
