"""The benchmark measures every case of the given bundle, and the plot shows all of them."""

import json
import os

import pytest

from fmae_edge import Codec
from fmae_edge.evaluate.bench import BATCHES, run_bench
from fmae_edge.evaluate.plots import plot_bench
from fmae_edge.measure.figure import plot_to_png
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.engine.providers import as_providers

PROVIDERS = as_providers(["cpu"])


@pytest.fixture(scope="module")
def opened():
    """The options of the codecs that are measured."""
    return []


@pytest.fixture(scope="module")
def bench(opened):
    def note(bundle, **options):
        opened.append(options)
        return Codec(bundle, **options)

    with pytest.MonkeyPatch.context() as patch:
        for repetitions in ("LOADS", "COLD_STARTS"):
            patch.setattr(f"fmae_edge.evaluate.bench.{repetitions}", 2)
        patch.setattr("fmae_edge.evaluate.bench.Codec", note)
        return run_bench(DEFAULT_BUNDLE, rounds=1, providers=PROVIDERS)


def test_every_case_is_measured(bench):
    threads = sorted({1, len(os.sched_getaffinity(0))})
    cases = {(s.task, s.precision, s.threads, s.batch) for s in bench.speeds}
    assert cases == {
        (task, precision, count, batch)
        for task in ("encode", "decode")
        for precision in ("int8", "fp32")
        for count in threads
        for batch in BATCHES
    }
    assert len(bench.speeds) == len(cases)
    assert bench.bundle_id == read_bundle(DEFAULT_BUNDLE).manifest.bundle_id
    assert bench.machine["cpus"] == threads[-1]


def test_a_provider_runs_the_float32_graphs_only(bench, opened):
    providers = {options["precision"]: options["providers"] for options in opened if options}
    assert providers == {"int8": None, "fp32": PROVIDERS}
    assert bench.machine["float32 graphs"] == "cpu"


def test_figures_are_consistent(bench):
    for speed in bench.speeds:
        assert 0 < speed.p50_us <= speed.p95_us
        assert speed.images_per_second * speed.us_per_image == pytest.approx(1e6)
    best = bench.best("decode", "int8", 1)
    assert best.images_per_second == max(
        s.images_per_second for s in bench.speeds if (s.task, s.precision, s.threads) == ("decode", "int8", 1)
    )
    start = bench.cold_start_ms
    assert start["python"] < start["import numpy, onnxruntime"]
    memory = list(bench.memory_mb.values())
    assert 20 < memory[0] < memory[1] <= memory[2] < 300


def test_the_record_is_json(bench):
    record = json.loads(json.dumps(bench.to_record(), allow_nan=False))
    assert {"task", "precision", "threads", "batch", "p50_us", "p95_us"} <= set(record["speeds"][0])


def test_the_plot_shows_every_point(bench):
    figure = plot_bench(bench)
    png = plot_to_png(figure)
    assert png.startswith(b"\x89PNG")
    for panel in figure.axes:
        lines = panel.get_lines()
        assert len(lines) == len(bench.speeds) / len(BATCHES) / 2
        low, high = panel.get_ylim()
        assert low == 0
        assert all(max(line.get_ydata()) <= high for line in lines)


@pytest.fixture
def measured(bench, monkeypatch):
    """Replace the measurement, which takes a long time, and record the arguments of each call."""
    calls = []

    def note(bundle, rounds, on_round, providers):
        calls.append((bundle, rounds, providers))
        on_round(rounds, rounds)
        return bench

    monkeypatch.setattr("fmae_edge.evaluate.bench.run_bench", note)
    return calls


def test_the_command(cli, tmp_path, bundle, bench, measured):
    done = cli("bench", "--rounds", "1", "--plot", "speed.png", "--json")
    assert (done.returncode, done.stderr) == (0, "wrote speed.png\n")
    assert json.loads(done.stdout) == bench.to_record()
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")
    done = cli("bench", bundle, "--provider", "cpu")
    assert "\nfloat32 graphs on cpu\n\n" in done.stdout
    assert "decode, int8, 1 thread" in done.stdout
    assert "fmae-edge compress" in done.stdout
    assert measured == [(DEFAULT_BUNDLE, 1, ()), (bundle, 20, PROVIDERS)]


def test_the_command_refuses_before_it_measures(cli, tmp_path, measured):
    (tmp_path / "speed.png").write_text("precious")
    done = cli("bench", "--rounds", "1", "--plot", "speed.png")
    assert done.returncode == 1
    assert "speed.png: already exists; use --force" in done.stderr
    assert (tmp_path / "speed.png").read_text() == "precious"
    for plot in ("missing/speed.png", "-"):
        done = cli("bench", "--plot", plot)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"{plot}: the picture must be a file in an existing folder" in done.stderr
    done = cli("bench", "--plot", "./-")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{tmp_path / '-'}: the picture must go to a file whose name ends in .png" in done.stderr
    done = cli("bench", "nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nowhere: no such bundle folder" in done.stderr
    assert measured == []
