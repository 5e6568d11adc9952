"""A run decodes few of its results to notice images of another kind, and none after it has noticed some."""

import pytest

from fmae_edge import Codec
from fmae_edge.bulk import decoded_results
from fmae_edge.bulk.compress import compress_files


@pytest.mark.parametrize("output", ["out/{stem}.fmae", "all.fmae"])
def test_few_images_of_a_long_run_are_decoded(monkeypatch, tmp_path, pictures, knows_clothing, output):
    decoded, decode = [], Codec.decompress_batch
    iterate = Codec.decompress_iter

    def note_batch(self, file):
        decoded.append(len(file.payloads))
        return decode(self, file)

    def note_each(self, files):
        files = list(files)
        decoded.append(len(files))
        return iterate(self, files)

    monkeypatch.setattr(Codec, "decompress_batch", note_batch)
    monkeypatch.setattr(Codec, "decompress_iter", note_each)
    monkeypatch.setattr(decoded_results, "_EVERY", 8)
    inputs = [pictures / f"c{number}.png" for number in range(40)]
    run = compress_files(inputs, tmp_path / output, bundle=knows_clothing)
    assert [outcome.status for outcome in run] == ["done"] * 40
    assert run.unlike_training is None
    assert sum(decoded) == 16 + 3  # of images 0 to 39, the first 16 and every 8th


def test_nothing_is_decoded_after_a_warning(monkeypatch, tmp_path, pictures, knows_clothing):
    monkeypatch.setattr("fmae_edge.bulk.compress.FILES_AT_ONCE", 1)
    calls, iterate = [], Codec.decompress_iter
    monkeypatch.setattr(Codec, "decompress_iter", lambda self, files: calls.append(1) or iterate(self, files))
    run = compress_files(sorted(pictures.glob("n*.png")), tmp_path / "x", quality=5, bundle=knows_clothing)
    assert len(list(run)) == 4
    assert (run.unlike_training.checked, run.unlike_training.below, len(calls)) == (1, 1, 1)
