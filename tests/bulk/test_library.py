"""compress_files and decompress_files as a library: outcomes, errors, and no printing."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from fmae_edge import Codec
from fmae_edge.bulk.compress import compress_files
from fmae_edge.bulk.decompress import decompress_files
from fmae_edge.bulk.image_input import files_at_once, open_codec
from fmae_edge.bulk.run import Outcome
from fmae_edge.data.image_file import png_bytes
from fmae_edge.runtime.engine.cpus import VARIABLE
from fmae_edge.runtime.errors import ArgumentError, BundleError, DiskError, FmaeError, OutputError, ResourceError
from fmae_edge.runtime.format.fmae_file import pack_many
from tests.commands.results import found

COUNT = 200


@pytest.fixture
def photos(tmp_path, monkeypatch, images):
    """Two images and a file that is not an image, in folders below `photos`, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name, image in zip(("a.png", "deeper/b.png"), images, strict=False):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png_bytes(image))
    (tmp_path / "photos/bad.png").write_text("no image")
    return tmp_path


@pytest.fixture
def many(tmp_path, images, monkeypatch):
    """COUNT images, of which ten are converted together."""
    for module in ("compress", "join", "pipeline"):
        monkeypatch.setattr(f"fmae_edge.bulk.{module}.FILES_AT_ONCE", 10)
    for number in range(COUNT):
        (tmp_path / f"{number:03d}.png").write_bytes(png_bytes(images[0]))
    return tmp_path


def test_round_trip_with_one_call_each(photos, images, capfd):
    run = compress_files(["photos"], "latents/{path}.fmae", recursive=True, quality=7, jobs=2)
    assert not (photos / "latents").exists()  # iterating does the work
    assert [(each.input, each.output, each.status) for each in run] == [
        ("photos/a.png", "latents/a.fmae", "done"),
        ("photos/bad.png", None, "failed"),
        ("photos/deeper/b.png", "latents/deeper/b.fmae", "done"),
    ]
    assert (photos / "latents/deeper/b.fmae").read_bytes() == Codec().compress(images[1], 7)
    assert (run.counts["done"], run.counts["failed"], run.not_tried, run.ended_by) == (2, 1, 0, None)
    back = list(decompress_files([Path("latents")], Path("back"), recursive=True))
    assert [each.output for each in back] == ["back/a.png", "back/deeper/b.png"]
    expected = Codec().decompress((photos / "latents/a.fmae").read_bytes())
    np.testing.assert_array_equal(np.asarray(Image.open("back/a.png")), expected)
    assert capfd.readouterr() == ("", "")


def test_a_stack_has_one_outcome_per_image(photos, images, capfd):
    (photos / "all.fmae").write_bytes(Codec().compress_batch(images[:3]))
    run = decompress_files(["all.fmae"], "out/")
    assert [(each.input, each.output) for each in run] == [
        (f"all.fmae[{k}]", f"out/all.{k}.png") for k in range(3)
    ]
    assert (run.inputs, run.counts.total()) == (1, 1)
    (only,) = decompress_files(["all.fmae"], "one.webp", index=2)
    assert only == Outcome("all.fmae", "one.webp", "done", only.bytes)
    assert capfd.readouterr() == ("", "")


def test_an_input_with_several_notes_is_converted_once(photos, images):
    codec = Codec()
    file = codec.parse(codec.compress_batch(images[:3]))
    content = pack_many(file.payloads, file.quality, file.bundle_id, ["a", "b:", "c"])
    (photos / "all.fmae").write_bytes(content)
    run = decompress_files(["all.fmae"], "out/")
    assert [len(each.notes) for each in run] == [1, 1, 1]
    assert run.converted == 1


def test_the_codec_of_many_files_has_one_thread_unless_the_environment_says_more(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert "threads=1>" in repr(open_codec(None, "int8", beside_threads=True))
    monkeypatch.setenv(VARIABLE, "3")
    assert "threads=3>" in repr(open_codec(None, "int8", beside_threads=True))


def test_one_file_of_all_inputs(photos, images, capfd):
    inputs = ["photos/a.png", "photos/deeper/b.png"]
    run = compress_files([*inputs, "photos/bad.png"], "all.fmae", names=True)
    outcomes = []
    with pytest.raises(OutputError, match=r"all\.fmae: not written, because 1 of its 3 inputs failed$") as raised:
        outcomes.extend(run)
    assert [each.status for each in outcomes] == ["skipped", "skipped", "failed"]
    assert run.one_file
    assert run.ended_by is raised.value
    assert (run.counts["skipped"], run.counts["failed"]) == (2, 1)
    assert not (photos / "all.fmae").exists()
    run = compress_files([*inputs, "photos/bad.png"], "all.fmae", names=True, keep_going=True)
    assert [each.output for each in run] == ["all.fmae[0]", "all.fmae[1]", None]
    assert Codec().names((photos / "all.fmae").read_bytes()) == ("a", "b")
    assert capfd.readouterr() == ("", "")


def test_existing_outputs_are_refused_skipped_or_overwritten(photos):
    (photos / "a.npy").write_bytes(b"precious")
    for options, status in (({}, "failed"), ({"skip_existing": True}, "skipped"), ({"force": True}, "done")):
        for dry_run in (True, False):
            (outcome,) = compress_files(["photos/a.png"], "a.npy", dry_run=dry_run, **options)
            assert outcome.status == ("planned" if dry_run and status == "done" else status)
            kept = (photos / "a.npy").read_bytes() == b"precious"
            assert kept == (dry_run or status != "done")
    (outcome,) = compress_files(["photos/a.png"], "a.npy")
    assert isinstance(outcome.cause, OutputError)
    assert outcome.error == "photos/a.png -> a.npy: already exists; use --force to overwrite it"


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"output": "x.npy", "quality": 3}, "quality"),
        ({"output": "x.npy", "effort": 3}, "effort"),
        ({"output": "x.fmae", "dtype": "int8"}, "dtype"),
        ({"quality": 3, "max_bytes": 30}, "max_bytes"),
        ({"names": True}, "names"),
        ({"force": True, "skip_existing": True}, "skip_existing"),
        ({"jobs": 0}, "jobs"),
        ({"output": "x.txt"}, "output"),
        ({"output": "{number}.npy"}, "output"),
        ({"jobs": "2"}, "jobs"),
        ({"jobs": 1.5}, "jobs"),
        ({"quality": 10}, "quality"),
        ({"effort": "3"}, "effort"),
        ({"max_bytes": 30.0}, "max_bytes"),
        ({"dtype": "float64"}, "dtype"),
        ({"fit": "stretch"}, "fit"),
        ({"precision": "fp16"}, "precision"),
        ({"inputs": "photos"}, "inputs"),
        ({"inputs": Path("photos")}, "inputs"),
        ({"inputs": [b"photos"]}, "inputs"),
        ({"output": 1}, "output"),
        ({"inputs": ["-", "-"]}, "inputs"),
        ({"inputs": ["photos/a.png", "photos/deeper/b.png"], "output": "x.npg"}, "output"),
    ],
)
def test_invalid_arguments_are_named_before_any_work(photos, options, argument):
    before = found(photos)
    with pytest.raises(ArgumentError) as raised:
        compress_files(**{"inputs": ["photos/a.png"], **options})
    assert raised.value.argument == argument
    assert str(raised.value).startswith(argument)
    assert found(photos) == before


def test_decompressing_names_wrong_arguments_as_well(photos):
    for options in ({"jobs": 1.5}, {"precision": "fp16"}, {"inputs": "x.fmae"}, {"index": "0"}, {"index": -1}):
        with pytest.raises(ArgumentError) as raised:
            decompress_files(**{"inputs": ["x.fmae"], **options})
        assert raised.value.argument == next(iter(options))


def test_a_run_is_iterated_over_once(photos):
    run = compress_files(["photos/a.png"])
    iter(run)  # starts nothing
    assert len(list(run)) == 1
    with pytest.raises(FmaeError, match="can be iterated over only once"):
        list(run)
    assert run.counts.total() == 1


def test_an_error_of_all_inputs_is_raised_by_the_call(photos):
    with pytest.raises(BundleError):
        compress_files(["photos/a.png"], bundle="nowhere")
    with pytest.raises(OutputError, match="is a pipe, socket or device"):
        decompress_files(["x.fmae"], "/dev/null")


def test_no_inputs_have_no_outcomes(photos):
    for output in (None, "out/", "all.npy"):
        assert list(compress_files([], output)) == []
        assert list(decompress_files([], output)) == []


def test_files_that_are_passed_over_are_counted(photos):
    (photos / "photos/note.txt").write_text("x")
    run = compress_files(["photos"], "out", recursive=True)
    assert (run.inputs, run.passed_over) == (3, 1)
    assert ".png" in run.suffixes


def test_no_text_is_printed_where_results_go_to_standard_output(photos):
    assert compress_files(["photos/a.png"], "-").to_stdout
    assert compress_files(["-"]).to_stdout
    assert not compress_files(["-"], "x.npy").to_stdout
    code = "from fmae_edge.bulk.compress import compress_files; list(compress_files(['photos/a.png'], '-'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert (len(done.stdout), done.stderr) == (384, b"")


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("leave", ["break", "raise"])
def test_a_caller_that_stops_leaves_complete_files_and_no_threads(many, jobs, leave):
    threads = threading.active_count()
    latent = None
    run = compress_files([many], recursive=True, jobs=jobs)
    try:
        for outcome in run:
            latent = Path(outcome.output).read_bytes()
            if leave == "raise":
                raise ZeroDivisionError
            break
    except ZeroDivisionError:
        pass
    names = [path for path in os.listdir(many) if not path.endswith(".png")]
    assert 0 < len(names) < COUNT
    assert {(many / name).read_bytes() for name in names} == {latent}
    assert threading.active_count() == threads
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert 0 < run.not_tried < COUNT


def test_ctrl_c_is_raised_after_the_outcomes_of_the_current_files(many):
    outcomes = []
    run = compress_files([many], recursive=True, jobs=2)
    run.on_progress = lambda handled: handled == 30 and signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        outcomes.extend(run)
    assert {each.status for each in outcomes} == {"done"}
    assert len(outcomes) == run.handled == len(list(many.glob("*.npy"))) < COUNT
    assert run.not_tried == COUNT - len(outcomes)


def test_ctrl_c_works_after_a_run_that_ended_in_another_thread(many):
    outcomes = iter(compress_files([many], recursive=True))
    rest = [next(outcomes)]
    try:
        thread = threading.Thread(target=lambda: rest.extend(outcomes))
        thread.start()
        thread.join()
        assert len(rest) == COUNT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_full_disk_is_raised_after_the_outcome_that_reports_it(many, monkeypatch):
    def fail(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "dup", fail)
    outcomes = []
    with pytest.raises(DiskError, match="No space left on device") as raised:
        outcomes.extend(compress_files([many], recursive=True))
    assert isinstance(outcomes[-1].cause, DiskError)
    assert str(raised.value) == outcomes[0].error
    assert len(outcomes) < COUNT


def test_a_lack_of_threads_is_raised(many, monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    run = compress_files([many], recursive=True, jobs=2)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(ResourceError, match="cannot start 2 threads"):
        list(run)
    assert run.not_tried == COUNT
    assert list(many.glob("*.npy")) == []


def test_progress_is_reported_while_one_file_is_read(many, monkeypatch):
    reported = []
    run = compress_files([many], many / "all.npy", recursive=True)
    run.on_progress = reported.append
    assert len(list(run)) == COUNT
    assert reported == [*range(10, COUNT, 10), COUNT]


def test_the_outcome_of_a_single_image_has_the_size_of_its_fmae_file(photos, images):
    (outcome,) = compress_files(["photos/a.png"])
    assert outcome.fmae_bytes() == len(Codec().compress(images[0]))
    for options in ({"output": "x.npy"}, {"output": "x.fmae"}, {"dtype": "int8", "force": True}):
        (outcome,) = compress_files(["photos/a.png"], **options)
        assert outcome.fmae_bytes is None


def test_importing_it_loads_nothing_of_the_command_line():
    code = "import sys, fmae_edge.bulk.compress, fmae_edge.bulk.decompress; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not {"typer", "rich", "torch", "onnxruntime", "fmae_edge.commands", "fmae_edge.cli"} & loaded


def test_a_file_is_parsed_once(photos, images, monkeypatch):
    """Its check codes are compared once, whether it holds one image or a stack."""
    from fmae_edge.runtime.format import fmae_file

    parsed, unpack = [], fmae_file.unpack
    monkeypatch.setattr(fmae_file, "unpack", lambda *given: parsed.append(given[0]) or unpack(*given))
    files = [Codec().compress(images[0]), Codec().compress(images[1]), Codec().compress_batch(images[:3])]
    for number, content in enumerate(files):
        (photos / f"{number}.fmae").write_bytes(content)
    outcomes = list(decompress_files(["[0-2].fmae"], "out/"))
    assert [each.status for each in outcomes] == ["done"] * 5
    assert parsed == files


@pytest.mark.parametrize(
    ("shape", "count"), [((28, 28), 256), ((64, 64, 3), 170), ((256, 256, 3), 10), ((2000, 2000, 3), 1)]
)
def test_fewer_large_images_are_converted_at_once(shape, count):
    """Together they have at most 2 million numbers, which bounds memory."""
    codec = SimpleNamespace(manifest=SimpleNamespace(image_shape=shape))
    assert files_at_once(codec, 256) == count
