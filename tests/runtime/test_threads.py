"""One codec in many threads: the same results, and threads do not block each other."""

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fmae_edge import Codec
from fmae_edge.runtime.engine.sessions import open_session

# Measures the nanoseconds that all other threads have run; those of OpenBLAS exist from the start, and sleep
_OTHERS_WORK = """
import threading, time
from pathlib import Path
import numpy as np
from fmae_edge import Codec

def others():
    tasks = [task for task in Path("/proc/self/task").iterdir() if int(task.name) != threading.get_native_id()]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)

codec = Codec(threads=1)
images = np.random.default_rng(0).integers(0, 256, (1500, 28, 28), np.uint8)
codec.decompress(codec.compress_batch(images[:20]))
time.sleep(0.5)
before = others()
codec.decompress(codec.compress_batch(images))
codec.compress_batch(images[:9], effort=1)
coding = others() - before
large = np.ones((1000, 1000), np.float32)
large.dot(large)
time.sleep(0.1)
print(coding, others() - before)
"""


def test_sixteen_threads_get_the_same_results_as_one(images):
    serial, codec = Codec(), Codec()
    start = threading.Barrier(16)

    def work(k):
        start.wait()  # so that all of them load the graphs at once
        some = images[k : k + 20]
        content = codec.compress_batch(some, quality=1 + k % 9)
        return codec.encode(some), codec.decode(codec.encode(some)), content, codec.decompress(content)

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(work, range(16)))
    for k, (latents, decoded, content, decompressed) in enumerate(results):
        some = images[k : k + 20]
        np.testing.assert_array_equal(latents, serial.encode(some))
        np.testing.assert_array_equal(decoded, serial.decode(latents))
        assert content == serial.compress_batch(some, quality=1 + k % 9)
        np.testing.assert_array_equal(decompressed, serial.decompress(content))


def test_results_do_not_depend_on_the_number_of_threads(images):
    one, two, three = (Codec(threads=threads) for threads in (1, 2, 3))
    for codec in (two, three):
        np.testing.assert_array_equal(codec.encode(images), one.encode(images))
        np.testing.assert_array_equal(codec.decode(one.encode(images)), one.decode(one.encode(images)))


def test_concurrent_threads_load_each_graph_once(images, monkeypatch):
    opened = []

    def note(*arguments, **options):
        opened.append(arguments[1])
        return open_session(*arguments, **options)

    monkeypatch.setattr("fmae_edge.runtime.engine.graphs.open_session", note)
    codec = Codec()
    start = threading.Barrier(8)

    def work(image):
        start.wait()
        return codec.encode(image)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, images[:8]))
    assert len(opened) == 1


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="reads Linux's count of a thread's time")
def test_coding_many_images_does_not_wake_threads_of_blas():
    done = subprocess.run(
        [sys.executable, "-c", _OTHERS_WORK],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "2"},
    )
    coding, large = map(int, done.stdout.split())
    if not large:
        pytest.skip("numpy's BLAS has one thread here")
    assert coding == 0


def test_the_interpreter_is_free_while_a_graph_runs(images, monkeypatch):
    """In `run` below, only onnxruntime releases the interpreter's lock, so another thread runs only then."""
    inside = False

    class Watched:
        def __init__(self, session):
            self.session = session
            self.get_inputs, self.get_outputs = session.get_inputs, session.get_outputs

        def run(self, names, feed):
            nonlocal inside
            inside = True
            output = self.session.run(names, feed)
            inside = False
            return output

    monkeypatch.setattr(
        "fmae_edge.runtime.engine.graphs.open_session",
        lambda *arguments, **options: Watched(open_session(*arguments, **options)),
    )
    codec = Codec(threads=1)
    codec.encode(images[:64])
    seen = []
    ended = threading.Event()

    def watch():
        while not ended.is_set():
            seen.append(inside)
            ended.wait(1e-4)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)  # a thread runs until it releases the lock itself
    try:
        watcher = threading.Thread(target=watch)
        watcher.start()
        for _ in range(20):
            codec.encode(images[:64])
        ended.set()
        watcher.join()
    finally:
        sys.setswitchinterval(interval)
    assert any(seen)


def test_a_coroutine_does_not_wait_for_the_codec(images):
    """The line for asyncio in the README keeps the event loop running."""
    codec = Codec()

    async def serve():
        task = asyncio.create_task(asyncio.to_thread(codec.compress_batch, np.concatenate([images] * 4)))
        turns = 0
        while not task.done():
            await asyncio.sleep(0)
            turns += 1
        return turns, await task

    turns, content = asyncio.run(serve())
    assert turns > 20
    assert content == codec.compress_batch(np.concatenate([images] * 4))
