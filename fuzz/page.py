"""A page of memory that the fuzzing process shares with the process that watches it.

Writing to it takes a microsecond per input and survives a crash in C, a hang and a kill. So the watcher always
knows the number of inputs that ran, their time and memory, and the current input.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

_HEAD = struct.Struct("<QQddQ")


@dataclass(frozen=True)
class State:
    """The numbers of inputs started and finished, the most that one took, and the newest input."""

    started: int
    finished: int
    seconds: float
    megabytes: float
    content: bytes


class Page:
    """The file `path`, mapped into memory; `max_bytes` is the size of the largest input."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        size = _HEAD.size + max_bytes
        if not path.exists() or path.stat().st_size != size:
            path.write_bytes(bytes(size))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), size)

    def read(self) -> State:
        """Return the present state."""
        *numbers, size = _HEAD.unpack_from(self._memory)
        return State(*numbers, self._memory[_HEAD.size : _HEAD.size + size])

    def clear(self) -> None:
        """Reset to no inputs."""
        _HEAD.pack_into(self._memory, 0, 0, 0, 0, 0, 0)

    def start(self, content: bytes) -> None:
        """Record the input that is about to run."""
        started, finished, seconds, megabytes, _ = _HEAD.unpack_from(self._memory)
        self._memory[_HEAD.size : _HEAD.size + len(content)] = content
        _HEAD.pack_into(self._memory, 0, started + 1, finished, seconds, megabytes, len(content))

    def finish(self) -> None:
        """Record that the input has run."""
        started, _, *rest = _HEAD.unpack_from(self._memory)
        _HEAD.pack_into(self._memory, 0, started, started, *rest)

    def record(self, seconds: float, megabytes: float) -> None:
        """Record how much an input took, if none took more."""
        started, finished, most_seconds, most_megabytes, size = _HEAD.unpack_from(self._memory)
        most = max(seconds, most_seconds), max(megabytes, most_megabytes)
        _HEAD.pack_into(self._memory, 0, started, finished, *most, size)
