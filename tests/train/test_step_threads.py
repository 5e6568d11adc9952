"""Training steps get the number of threads that makes them fastest, and trials of others cost little time."""

import pytest
import torch

from fmae_edge.runtime.errors import InputError
from fmae_edge.train.step_threads import StepThreads, chosen_by_time

ALONE = {1: 0.144, 2: 0.094}  # seconds per step on a machine with two CPUs
BESIDE_OTHERS = {1: 0.2, 2: 2.5}


class Machine:
    """Steps that take the seconds in `seconds_on`, by their number of threads."""

    def __init__(self, most, seconds_on):
        self.numbers = []  # that were set, as PyTorch would get them
        self.threads = StepThreads(most, self.numbers.append)
        self.seconds_on = seconds_on

    def run(self, steps, images=256):
        """Return the seconds of some steps."""
        total = 0.0
        for _ in range(steps):
            seconds = self.seconds_on[self.threads.count] * images / 256
            self.threads.took(seconds, images)
            total += seconds
        return total


def test_an_idle_machine_keeps_all_threads_and_trials_take_2_percent():
    assert Machine(2, ALONE).run(2350) < 1.025 * 2350 * ALONE[2]


def test_a_busy_machine_gets_one_thread_from_the_start():
    machine = Machine(2, BESIDE_OTHERS)
    assert machine.run(30) < 30 * BESIDE_OTHERS[1] + BESIDE_OTHERS[2]  # one trial, of one step
    assert machine.run(2000) < 1.03 * 2000 * BESIDE_OTHERS[1]


def test_it_takes_few_steps_to_begin_with():
    seconds_on = {count: 1.0 / count for count in (1, 2, 4, 8, 16)}
    machine = Machine(16, seconds_on)
    machine.run(15)
    assert machine.threads.count == 16
    machine = Machine(16, {1: 1.0, 2: 0.5, 4: 0.3, 8: 9.0})
    machine.run(10)
    assert machine.threads.count == 4


def test_it_follows_a_load_that_comes_and_goes():
    machine = Machine(2, ALONE)
    machine.run(500)
    machine.seconds_on = BESIDE_OTHERS
    busy = machine.run(500)
    assert busy < 1.25 * 500 * BESIDE_OTHERS[1]  # on two threads it would be 12.5 times
    machine.seconds_on = ALONE
    machine.run(5000)  # trials are rare after expensive ones
    assert machine.run(1000) < 1.03 * 1000 * ALONE[2]


@pytest.mark.parametrize("best", [16, 8, 4, 2, 1])
def test_it_finds_the_best_of_many_numbers(best):
    machine = Machine(16, {count: abs(count - best) + 1.0 for count in (1, 2, 4, 8, 16)})
    machine.run(200)
    assert machine.run(2000) < 1.05 * 2000


def test_numbers_that_are_no_powers_of_two_return_to_all():
    machine = Machine(6, {1: 9.0, 2: 5.0, 4: 2.0, 6: 3.0, 3: 3.0})
    machine.run(15)
    assert machine.threads.count == 4
    machine.seconds_on |= {6: 1.0}
    machine.run(3000)
    assert machine.run(500) < 1.05 * 500


def test_a_smaller_last_batch_is_not_taken_for_a_faster_number():
    machine = Machine(2, ALONE)
    for _ in range(300):
        machine.run(2)
        machine.run(1, images=16)
    assert machine.numbers.count(2) >= machine.numbers.count(1) - 1  # every trial of one thread was given up


def test_an_epoch_that_ends_in_a_trial_goes_on_with_the_number_before_it():
    machine = Machine(2, BESIDE_OTHERS)
    machine.run(3)
    assert machine.numbers[-1] == 2
    machine.threads.end_trial()
    assert machine.threads.count == machine.numbers[-1] == 1
    machine.run(3)
    machine.threads.end_trial()


def test_one_thread_is_never_changed():
    machine = Machine(1, {1: 1.0})
    machine.run(100)
    assert machine.numbers == [1]


@pytest.fixture
def cpus(monkeypatch):
    """Four CPUs and no variables; PyTorch's number is set back afterwards."""
    before = torch.get_num_threads()
    for name in ("OMP_NUM_THREADS", "FMAE_EDGE_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("cpus")
def test_variables_fix_the_number(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert chosen_by_time() is None
    assert torch.get_num_threads() == 4  # PyTorch has read that variable itself
    monkeypatch.setenv("FMAE_EDGE_THREADS", "3")
    assert chosen_by_time() is None
    assert torch.get_num_threads() == 3
    monkeypatch.setenv("FMAE_EDGE_THREADS", "none")
    with pytest.raises(InputError, match="FMAE_EDGE_THREADS"):
        chosen_by_time()


@pytest.mark.usefixtures("cpus")
def test_a_quota_limits_the_number(monkeypatch):
    assert chosen_by_time().most == 4
    torch.set_num_threads(4)
    monkeypatch.setattr("fmae_edge.runtime.engine.cpus.cpu_quota", lambda: 2.5)
    assert chosen_by_time().most == 2
    assert torch.get_num_threads() == 1  # it begins with one
