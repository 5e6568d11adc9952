"""A codec in other processes: pickled, forked, spawned, in pools."""

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import pytest

from fmae_edge import BundleError, Codec

CODEC = Codec()

# Forks a process that has used the codec; the child exits as scripts do, with Python's own cleanup
_FORKING = """
import os, sys
import numpy as np
from fmae_edge import Codec

images = np.zeros((16, 28, 28), np.uint8)
codec = Codec(threads=2)
content = codec.compress_batch(images)
child = os.fork()
if not child:
    assert codec.compress_batch(images) == content
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert codec.compress_batch(images) == content
"""

# Forks while threads code; an alarm ends a child that waits forever
_FORKING_WHILE_CODING = """
import os, signal, threading, time
import numpy as np
from fmae_edge import Codec

images = np.random.default_rng(0).integers(0, 256, (100, 28, 28), np.uint8)
codec = Codec(threads=2)
content = codec.compress_batch(images)

def work():
    while True:
        codec.compress_batch(images)

for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
for _ in range(4):
    time.sleep(0.05)
    child = os.fork()
    if not child:
        signal.alarm(20)
        os._exit(codec.compress_batch(images) != content)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
os._exit(0)
"""


# Forks while another thread is inside onnxruntime and holds the lock for loading; the child exits as scripts do
_FORKING_WHILE_LOADING = """
import os, signal, sys, threading, time
import numpy as np
from fmae_edge import Codec
from fmae_edge.runtime.engine import graphs

images = np.zeros((2, 28, 28), np.uint8)
codec = Codec(threads=1)
open_session = graphs.open_session
loading, forked = threading.Event(), threading.Event()

def slow(*arguments, **options):
    loading.set()
    forked.wait()
    return open_session(*arguments, **options)

graphs.open_session = slow
thread = threading.Thread(target=codec.encode, args=(images,))
thread.start()
loading.wait()
child = os.fork()
graphs.open_session = open_session
if not child:
    signal.alarm(4)  # else it would wait, now or at exit, for a thread that it does not have
    codec.encode(images)
    sys.exit(7)
_, status = os.waitpid(child, 0)
forked.set()
thread.join()
assert os.waitstatus_to_exitcode(status) == 7
"""

# A signal handler uses the codec while the main thread loads the same graph
_SIGNAL_WHILE_LOADING = """
import signal
import numpy as np
from fmae_edge import Codec
from fmae_edge.runtime.engine import graphs

images = np.zeros((2, 28, 28), np.uint8)
codec = Codec(threads=1)
open_session = graphs.open_session
signal.signal(signal.SIGUSR1, lambda *_: print(codec.encode(images).shape))

def interrupted(*arguments, **options):
    graphs.open_session = open_session
    signal.raise_signal(signal.SIGUSR1)
    return open_session(*arguments, **options)

graphs.open_session = interrupted
signal.alarm(20)
print(codec.encode(images).shape)
"""

# Daemon threads are inside onnxruntime, or about to enter it, when Python exits; exit handlers may still code
_ENDING_WHILE_CODING = """
import atexit, threading, time
import numpy as np
from fmae_edge import Codec

images = np.zeros((64, 28, 28), np.uint8)
codec = Codec(threads=2)
atexit.register(lambda: print(codec.encode(images).shape))
codec.encode(images)

def work():
    while True:
        codec.encode(images)

for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.1)
"""


def compress(codec, image):
    return os.getpid(), codec.compress(image)


@pytest.mark.parametrize("copied", [lambda codec: pickle.loads(pickle.dumps(codec)), copy.copy, copy.deepcopy])
def test_a_copy_has_the_options_and_not_the_sessions(images, bundle, copied):
    codec = Codec(bundle, precision="fp32", threads=1)
    content = codec.compress(images[0])
    assert len(pickle.dumps(codec)) < 1000
    assert copied(codec).compress(images[0]) == content
    (bundle / "encoder.fp32.onnx").unlink()
    with pytest.raises(BundleError, match=r"encoder\.fp32\.onnx is missing"):
        copied(codec)


def test_a_relative_path_works_for_a_process_in_another_folder(bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(bundle.parent)
    pickled = pickle.dumps(Codec(bundle.name))
    monkeypatch.chdir("/")
    assert pickle.loads(pickled).manifest == CODEC.manifest


def test_unpickling_detects_that_the_bundle_was_replaced(bundle):
    pickled = pickle.dumps(Codec(bundle))
    manifest = bundle / "manifest.json"
    manifest.write_text(manifest.read_text() + "\n")
    with pytest.raises(BundleError, match="expected bundle"):
        pickle.loads(pickled)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools_of_processes(images, method):
    expected = [CODEC.compress(image) for image in images[:2]]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
        done = list(pool.map(partial(compress, CODEC), images[:2]))
    assert [content for _, content in done] == expected
    assert os.getpid() not in [pid for pid, _ in done]


def run(code):
    """Run Python with several threads of OpenBLAS, even if these tests run with one.

    From 3.12 on, Python warns about every fork of a process with threads, which these programs do on purpose.
    """
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "2"}
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        env=environment,
    )


def test_a_forked_process_works_and_ends():
    done = run(_FORKING)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_process_forked_while_a_thread_loads_works_and_ends():
    done = run(_FORKING_WHILE_LOADING)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_signal_handler_may_use_the_codec_while_it_loads():
    done = run(_SIGNAL_WHILE_LOADING)
    assert (done.returncode, done.stdout, done.stderr) == (0, "(2, 64)\n" * 2, "")


@pytest.mark.parametrize("attempt", range(3))
def test_python_exits_cleanly_while_daemon_threads_code(attempt):
    done = run(_ENDING_WHILE_CODING)
    assert (done.returncode, done.stdout, done.stderr) == (0, "(64, 64)\n", "")


def test_a_process_forked_while_threads_code_works():
    done = run(_FORKING_WHILE_CODING)
    assert done.returncode == 0, done.stderr
