"""A run in several processes computes what one process computes, each image once, and ends if one of them ends."""

import math
import os
import pickle
import signal
import time
from multiprocessing import get_context

import numpy as np
import pytest
import torch
import torch.distributed as dist

from fmae_edge.commands.training_progress import TrainingProgress
from fmae_edge.model.autoencoder import Autoencoder, to_pixels
from fmae_edge.model.checkpoint import RunError, load_progress, processes_of, start_run
from fmae_edge.model.config import ModelConfig
from fmae_edge.model.learned_prior import Prior
from fmae_edge.model.recipe import ImageSet, PriorFit, Recipe
from fmae_edge.runtime.errors import InputError
from fmae_edge.train.augment import augment_batch
from fmae_edge.train.batch_loss import batch_losses
from fmae_edge.train.loop import train
from fmae_edge.train.measurement import measure_epoch
from fmae_edge.train.processes import ALONE, Processes, Share, join

CONFIG = ModelConfig(latent_size=8, widths=(4, 8))
CPU = torch.device("cpu")
RATED = {"rate_distortion": 0.01, "rate_start": 0.3, "prior_fit": PriorFit(steps=4)}


@pytest.fixture(autouse=True)
def exact_arithmetic(monkeypatch):
    monkeypatch.setattr("fmae_edge.train.loop.has_fast_bfloat16", lambda device: False)


@pytest.fixture
def tensors(images):
    pixels = torch.from_numpy(images.copy())
    return pixels[:101], pixels[101:]  # with batches of 25, the last batch has a single image


def in_processes(count, tmp_path, work):
    """Call `work(processes)` in `count` forks of this process. Return the result or RunError of each, or None."""

    def start(rank):
        os.environ["LOCAL_WORLD_SIZE"] = str(count)
        dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=rank, world_size=count)
        try:
            result = work(Processes(rank, count))
        except RunError as error:
            result = error
        (tmp_path / f"result-{rank}").write_bytes(pickle.dumps(result))

    (tmp_path / "store").unlink(missing_ok=True)  # of an earlier call
    context = get_context("fork")
    forks = [context.Process(target=start, args=(rank,)) for rank in range(count)]
    for fork in forks:
        fork.start()
    for fork in forks:
        fork.join(timeout=100)
        assert fork.exitcode is not None, "hangs"
    files = [tmp_path / f"result-{rank}" for rank in range(count)]
    return [pickle.loads(file.read_bytes()) if file.exists() else None for file in files]


def run_with(recipe, tensors, folder):
    """Return a function that trains in a folder per process, and returns metrics and weights."""

    def work(processes):
        run = folder / str(processes.rank)
        run.mkdir(parents=True)
        torch.manual_seed(recipe.seed)
        model = Autoencoder(CONFIG)
        metrics = train(run, model, recipe, *tensors, CPU, processes=processes)
        files = sorted(path.name for path in run.iterdir())
        return metrics, [weights.detach().numpy() for weights in model.parameters()], files

    return work


def test_the_gradient_of_a_batch_does_not_depend_on_the_number_of_processes(tmp_path, tensors):
    recipe = Recipe(refine=0.4, **RATED)

    def work(processes):
        torch.manual_seed(1)
        model, prior = Autoencoder(CONFIG), Prior(8)
        loss_at = batch_losses(model, prior, recipe, CPU, processes)
        gradients = []
        for done in (0.0, 0.5, 0.9):  # without a rate, with one, and with refined latents
            for count, augment in ((25, "shift"), (2, "flip"), (1, "shift")):  # with fewer images than processes
                draws, share = torch.Generator().manual_seed(2), processes.share(count)
                pixels = share.take(to_pixels(tensors[0][:count]))
                model.zero_grad(), prior.zero_grad()
                loss, *_ = loss_at(done)(augment_batch(pixels, augment, draws, share), share, draws, done)
                loss.backward()
                trained = (*model.parameters(), *(prior.parameters() if done else ()))
                gradients += [weights.grad.numpy().copy() for weights in trained]
        return gradients

    expected = work(ALONE)
    for found in in_processes(3, tmp_path, work):
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-5 * abs(one).max())


@pytest.mark.parametrize("options", [{}, {**RATED, "refine": 0.4, "augment": "shift"}])
def test_a_run_in_two_processes_ends_like_one_in_a_single_process(tmp_path, tensors, options):
    validation = ImageSet.of(tensors[1].numpy()) if options else None
    recipe = Recipe(epochs=3, batch_size=25, lr=0.01, validation_images=validation, **options)
    metrics, weights, files = run_with(recipe, tensors, tmp_path / "one")(ALONE)
    first, second = in_processes(2, tmp_path, run_with(recipe, tensors, tmp_path / "two"))
    for expected, found in zip(metrics, first[0], strict=True):
        assert found.keys() == expected.keys()
        for name in found.keys() - {"seconds", "images_per_second"}:
            assert found[name] == pytest.approx(expected[name], rel=0.02), name
    assert second[0] == first[0]
    for found, other, expected in zip(first[1], second[1], weights, strict=True):
        np.testing.assert_array_equal(found, other)
        assert not np.array_equal(found, expected)  # the order of sums differs
    assert (first[2], second[2]) == (files, [])  # the first process writes


@pytest.mark.parametrize("count", [2, 3])
def test_each_image_is_measured_once_whatever_their_number(tmp_path, tensors, monkeypatch, count):
    """The parts are not filled up by repeating images, so all figures are exactly those of one process."""
    monkeypatch.setattr("fmae_edge.train.measurement.images_at_once", lambda config: 7)  # 155 images: 23 parts
    measured = tensors[1]
    torch.manual_seed(1)
    model, prior = Autoencoder(CONFIG), Prior(8)
    recipe = Recipe(rate_distortion=0.01, validation_images=ImageSet.of(measured.numpy()))
    expected, pictures = measure_epoch(model, prior, measured, recipe, CPU)
    for found, found_pictures in in_processes(
        count, tmp_path, lambda processes: measure_epoch(model, prior, measured, recipe, CPU, processes)
    ):
        assert found == expected
        np.testing.assert_array_equal(found_pictures, pictures)
    assert len(pictures) == 10


def test_the_weighted_means_of_all_shares_are_the_mean_of_the_batch():
    values = torch.arange(11.0, dtype=torch.float64) ** 2
    for total in range(1, 12):
        batch = values[:total]
        for count in range(1, 6):
            shares = [Share(total, rank, count) for rank in range(count)]
            assert sum(share.images for share in shares) == total
            mean = sum(share.take(batch).mean() * share.weight for share in shares) / count
            assert mean == pytest.approx(batch.mean())
            half, halves = batch[: max(1, total // 2)], [share.half() for share in shares]
            parts = [share.take(batch)[: max(1, own.images)] for share, own in zip(shares, halves, strict=True)]
            mean = sum(part.mean() * own.weight for part, own in zip(parts, halves, strict=True)) / count
            assert mean == pytest.approx(half.mean())


def test_minutes_are_those_of_the_clock_of_the_first_process(tmp_path, tensors):
    recipe = Recipe(epochs=None, minutes=0.02, batch_size=25)
    started = time.monotonic()
    first, second = in_processes(2, tmp_path, run_with(recipe, tensors, tmp_path / "runs"))
    assert first[0] == second[0] != []
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("count", [1, 3])
def test_a_run_continues_with_another_number_of_processes(tmp_path, tensors, capsys, count):
    recipe, run = Recipe(epochs=3, batch_size=25), tmp_path / "run"
    start_run(run, CONFIG, recipe)

    def two_epochs(processes):
        def stop(metrics):
            if metrics["epoch"] == 2:
                raise RunError("stopped")

        return train(run, Autoencoder(CONFIG), recipe, *tensors, CPU, on_epoch=stop, processes=processes)

    assert processes_of(run) is None
    in_processes(2, tmp_path, two_epochs)
    assert processes_of(run) == load_progress(run).processes == 2
    TrainingProgress(False, lambda *_: None).on_processes(run, count)
    said = f"the run had 2 processes and continues with {count}: the order of sums changes"
    assert said in capsys.readouterr().out

    def the_third(processes):
        return train(run, Autoencoder(CONFIG), recipe, *tensors, CPU, processes=processes)

    first, *others = [the_third(ALONE)] if count == 1 else in_processes(count, tmp_path, the_third)
    assert [metrics["epoch"] for metrics in first] == [1, 2, 3]
    assert others == [first] * (count - 1)
    assert processes_of(run) == count


def test_the_others_stop_with_a_sentence_if_a_process_ends(tmp_path, tensors):
    recipe = Recipe(epochs=1000, batch_size=25)

    def work(processes):
        def end(step):
            if processes.rank == 1 and step.done == 7:
                os._exit(3)

        run = tmp_path / str(processes.rank)
        run.mkdir()
        return train(run, Autoencoder(CONFIG), recipe, *tensors, CPU, end, processes=processes)

    first, ended, third = in_processes(3, tmp_path, work)
    assert ended is None
    for rank, error in ((0, first), (2, third)):
        assert f"process {rank + 1} of 3 stops, because another process of the run has ended" in str(error)


def test_the_first_process_works_alone_before_the_others(tmp_path):
    def work(processes):
        with processes.first_alone():
            time.sleep(0.3 if processes.is_first else 0)
            return time.monotonic()

    first, second = in_processes(2, tmp_path, work)
    assert second >= first


def test_a_run_that_cannot_start_is_not_one_to_continue(tmp_path):
    """The first process refuses an option or the images while the others wait; they do not advise --resume."""

    def work(processes):
        if processes.is_first:
            with processes.first_alone():
                os._exit(1)
        with processes.first_alone():
            return

    _, *others = in_processes(3, tmp_path, work)
    sentence = "process {} of 3 stops, because another process of the run has ended"
    assert [str(error) for error in others] == [sentence.format(number) for number in (2, 3)]


def test_a_process_that_goes_on_alone_has_the_threads_of_all(tmp_path):
    def work(processes):
        torch.set_num_threads(1)
        processes.leave()
        return torch.get_num_threads(), signal.getsignal(signal.SIGTERM) == signal.SIG_DFL

    assert in_processes(2, tmp_path, work) == [(2, True)] * 2


def test_a_diverging_run_stops_in_all_processes(tmp_path, tensors, monkeypatch):
    monkeypatch.setattr(Recipe, "learning_rate", lambda recipe, done: math.inf)
    found = in_processes(2, tmp_path, run_with(Recipe(epochs=1, batch_size=25), tensors, tmp_path / "runs"))
    assert {str(error) for error in found} == {"the loss is nan in epoch 1; start again with a lower --lr"}


def test_devices_that_a_process_cannot_have_are_refused(monkeypatch):
    assert join("cpu") == (ALONE, CPU)
    for name in ("TORCHELASTIC_RUN_ID", "RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "1")
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    for name in ("auto", "cuda"):
        with pytest.raises(InputError, match="started 2 processes on a machine with 1 CUDA devices"):
            join(name)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    with pytest.raises(InputError, match="device mps is for one process"):
        join("mps")
