"""The command on a terminal."""

import os
import signal
import subprocess

from tests.conftest import COMMAND


def terminal(folder, *arguments, after=None, environment=None, stdout=None):
    """Run the command on a terminal, except for `stdout`; return its exit code and its output."""
    child, parent = os.openpty()[::-1]
    with subprocess.Popen(
        [COMMAND, *arguments],
        cwd=folder,
        stdin=child,
        stdout=child if stdout is None else stdout,
        stderr=child,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **(environment or {})},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:
        os.close(child)
        if after is not None:
            after(running)
        shown = read_to_end(parent)
    return running.returncode, shown.decode(errors="replace")


def read_to_end(parent):
    """Return what a process prints on a terminal until it ends, and close the parent's side of the terminal."""
    shown = b""
    while True:
        try:
            part = os.read(parent, 65536)
        except OSError:  # the end of the output on Linux
            break
        if not part:
            break
        shown += part
    os.close(parent)
    return shown
