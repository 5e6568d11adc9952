"""Python's exit waits for running calls into onnxruntime, but not forever."""

import subprocess
import sys
import threading
import time

import pytest

from fmae_edge.runtime.engine import sessions
from fmae_edge.runtime.engine.sessions import RunningCalls

# Exit handlers that an application registers before it imports the codec run after those of the codec
_DRAINING_A_QUEUE = """
import atexit, queue, threading
import numpy as np

jobs = queue.Queue()
atexit.register(jobs.join)

from fmae_edge import Codec
from fmae_edge.runtime.engine import sessions

sessions._LONGEST_WAIT = 0.3
codec = Codec(threads=1)

def work():
    while True:
        print(codec.encode(jobs.get()).shape)
        jobs.task_done()

for _ in range(20):
    jobs.put(np.zeros((28, 28), np.uint8))
threading.Thread(target=work, daemon=True).start()
"""


def test_a_daemon_thread_finishes_work_that_a_later_exit_handler_waits_for():
    done = subprocess.run(
        [sys.executable, "-c", _DRAINING_A_QUEUE], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "(64,)\n" * 20, "")


@pytest.fixture
def calls(monkeypatch):
    monkeypatch.setattr(sessions, "_LONGEST_WAIT", 10)
    return RunningCalls()


def test_exit_waits_until_a_running_call_returns(calls):
    entered, finished = threading.Event(), threading.Event()

    def call():
        with calls:
            entered.set()
            time.sleep(0.1)
            finished.set()

    threading.Thread(target=call).start()
    entered.wait()
    began = time.monotonic()
    calls.end()
    assert finished.is_set()
    assert time.monotonic() - began < 5


def test_at_exit_only_the_exiting_thread_may_make_new_calls(calls, monkeypatch):
    monkeypatch.setattr(sessions, "_LONGEST_WAIT", 0.3)
    began = time.monotonic()
    calls.end()
    with calls:
        assert time.monotonic() - began < 0.3
    entered = []

    def call():
        with calls:
            entered.append(time.monotonic() - began)

    for _ in range(2):  # the second call does not wait again
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
    assert 0.3 <= entered[0] <= entered[1] < 0.5 + entered[0]
