"""Watch the process that fuzzes one target. Kill it if it hangs or its time is over, restart it after a crash."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.findings import find, save_finding, use_as_seeds
from fuzz.page import Page, State
from fuzz.targets import Target

REPOSITORY = Path(__file__).parent.parent
FUZZ = (sys.executable, "-m", "fuzz.one")
REPLAY = (sys.executable, "-m", "fuzz.replay")
MOST = (5.0, 60.0, 1024)  # CPU seconds, seconds and megabytes of one input before it is killed
_LEAK_MEGABYTES = 2048  # atheris 3.0 leaks the results of comparing arrays, so processes have to end
START_SECONDS = 120.0  # to import everything on a busy machine
_POLL_SECONDS = 0.05
_MOST_RESTARTS = 100
_TICKS = os.sysconf("SC_CLK_TCK")
_MEGABYTE_PAGES = (1 << 20) // os.sysconf("SC_PAGE_SIZE")
# Freed memory is returned to the system immediately, so that the memory of each input can be measured
_ENVIRONMENT = {"MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_MMAP_THRESHOLD_": "131072", "PYTHONHASHSEED": "0"}


@dataclass
class Result:
    """The result of one target: the number of inputs, the most that one took, and the files that failed."""

    inputs: int = 0
    seconds: float = 0.0
    megabytes: float = 0.0
    findings: list[Path] = field(default_factory=list)
    broken: bool = False  # the fuzzer itself failed

    def add(self, state: State) -> None:
        """Add the result of one process."""
        self.inputs += state.started
        self.seconds = max(self.seconds, state.seconds)
        self.megabytes = max(self.megabytes, state.megabytes)


def fuzz_target(
    name: str, target: Target, folder: Path, seconds: float | None, inputs: int | None, seed: int
) -> Result:
    """Fuzz for `seconds` or `inputs`. `folder` gets findings, inputs that reach new code, and a log."""
    (folder / "corpus").mkdir(parents=True, exist_ok=True)
    use_as_seeds(folder, target.small_bytes)
    (folder / "log.txt").unlink(missing_ok=True)
    page = Page(folder / "page", target.max_bytes)
    result = Result()
    deadline = time.monotonic() + (float("inf") if seconds is None else seconds)
    for restart in range(_MOST_RESTARTS):
        left = sys.maxsize if inputs is None else inputs - result.inputs
        if left <= 0 or time.monotonic() >= deadline:
            break
        page.clear()
        command = [*FUZZ, name, str(folder), "--inputs", str(left), "--seed", str(seed + restart)]
        with _process(command, folder / "log.txt") as process:
            kind = _watch(process, page, deadline)
        state = page.read()
        result.add(state)
        if kind in ("crash", "broken") and state.started == state.finished:
            result.broken = True
            break
        if kind in ("crash", "killed"):
            save_finding(folder, kind, state.content)
    _discard_unconfirmed(name, folder)
    result.findings = find(folder)
    return result


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, stdout=output, stderr=output, env=os.environ | _ENVIRONMENT
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def _watch(process: subprocess.Popen[bytes], page: Page, deadline: float) -> str:
    """Return how a process ended: done, time, leak, or the kind of finding. It may still have to be killed."""
    seen, since, cpu, memory = 0, time.monotonic(), 0.0, 0
    while process.poll() is None:
        now, state = time.monotonic(), page.read()
        try:
            cpu_now, memory_now = _cpu_seconds(process.pid), _megabytes(process.pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state.started != seen:
            seen, since, cpu, memory = state.started, now, cpu_now, memory_now
        elif state.finished == seen:
            if now - since > START_SECONDS:
                return "broken"
        else:
            took = (cpu_now - cpu, now - since, memory_now - memory)
            if any(found > most for found, most in zip(took, MOST, strict=True)):
                process.send_signal(signal.SIGUSR1)  # it writes its position to the log
                time.sleep(_POLL_SECONDS)
                return "killed"
        if now >= deadline and state.finished:  # at least one, even on a busy machine
            return "time"
        if memory_now > _LEAK_MEGABYTES and state.finished == state.started:
            return "leak"
        time.sleep(_POLL_SECONDS)
    return "crash" if process.returncode else "done"


def _cpu_seconds(pid: int) -> float:
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / _TICKS


def _megabytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) // _MEGABYTE_PAGES


def _discard_unconfirmed(name: str, folder: Path) -> None:
    """Delete the inputs that passed a limit only because atheris slowed them down."""
    for path in find(folder):
        if path.name.startswith(("slow-", "memory-")):
            try:
                replayed = subprocess.run(
                    [*REPLAY, name, str(path)],
                    cwd=REPOSITORY,
                    capture_output=True,
                    env=os.environ | _ENVIRONMENT,
                    timeout=START_SECONDS,
                )
            except subprocess.TimeoutExpired:
                continue
            if replayed.returncode == 0:
                path.unlink()
