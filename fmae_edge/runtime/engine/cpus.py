"""Choose the number of threads: set by the caller or the environment, else the CPUs that this process may use.

The number of CPUs does not show a container's quota of CPU time, and threads beyond the quota slow each other
down: two threads with the time of one CPU ran at a fifth of the speed of one thread.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from fmae_edge.runtime.arguments import as_integer
from fmae_edge.runtime.errors import InputError, shown

VARIABLE = "FMAE_EDGE_THREADS"
# OpenMP's variable: clusters, containers and test runners set it for all programs
OPENMP_VARIABLE = "OMP_NUM_THREADS"
_MAX_THREADS = 1024
_MAX_DIGITS = 9


def choose_threads(requested: int | None = None) -> tuple[int, str]:
    """Return the number of threads that onnxruntime may use, and the reason for it.

    The first of these that is set decides: `requested`, FMAE_EDGE_THREADS, OMP_NUM_THREADS. If none is set, the
    number is that of the CPUs that this process may use.

    Raises InputError if `requested` or FMAE_EDGE_THREADS is not an integer from 1 to 1024.
    """
    if requested is not None:
        with suppress(InputError):
            count = as_integer("threads", requested)
            if 1 <= count <= _MAX_THREADS:
                return count, "requested"
        raise InputError(f"threads is {shown(requested)}; expected an integer from 1 to {_MAX_THREADS}")
    if VARIABLE in os.environ:
        number = _threads_in(os.environ[VARIABLE])
        if number is None:
            value = shown(os.environ[VARIABLE])
            raise InputError(f"{VARIABLE} is {value}; expected an integer from 1 to {_MAX_THREADS}")
        return number, VARIABLE
    # It may list a number for each level of nesting. OpenMP reports invalid values
    number = _threads_in(os.environ.get(OPENMP_VARIABLE, "").partition(",")[0].strip())
    if number is not None:
        return number, OPENMP_VARIABLE
    cpus, why = _cpus_and_why()
    return min(cpus, _MAX_THREADS), why


def _threads_in(text: str) -> int | None:
    """Return the number of threads in `text`, None if it is not an integer from 1 to 1024."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else 0
    return number if 1 <= number <= _MAX_THREADS else None


def available_cpus() -> int:
    """Return the number of CPUs that this process may use.

    This is the number in its affinity, where the system has one, limited by the CPU quota of its control groups,
    rounded down: a thread that is stopped at the end of the quota keeps the others waiting.
    """
    return _cpus_and_why()[0]


def _cpus_and_why() -> tuple[int, str]:
    if hasattr(os, "sched_getaffinity"):
        cpus, why = len(os.sched_getaffinity(0)), "CPUs in this process's affinity"
    else:
        cpus, why = os.cpu_count() or 1, "CPUs of this machine"
    quota = cpu_quota()
    if quota is not None and quota < cpus:
        return max(1, int(quota)), f"control group's quota of {quota:g} CPUs"
    return cpus, why


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return the quota of this process's control groups in CPUs, None if there is no quota or it is unknown.

    `root` is the folder with /proc and /sys. Sources: Linux, Documentation/admin-guide/cgroup-v2.rst, `cpu.max`,
    and Documentation/scheduler/sched-bwc.rst for version 1.
    """
    return min(
        (quota for folder in _group_folders(root) if (quota := _quota_of(folder)) is not None), default=None
    )


def _group_folders(root: Path) -> Iterator[Path]:
    """Yield the folders of this process's groups and of their parent groups, which limit it as well."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        group = PurePosixPath(path.strip("/"))
        for name in (controllers, "cpu") if controllers else ("", "unified"):
            yield from (root / "sys/fs/cgroup" / name / each for each in (group, *group.parents))


def _quota_of(folder: Path) -> float | None:
    try:
        quota, period = _text(folder / "cpu.max").split() or (
            _text(folder / "cpu.cfs_quota_us"),
            _text(folder / "cpu.cfs_period_us"),
        )
        return int(quota) / int(period) if int(quota) > 0 else None
    except (ValueError, ZeroDivisionError):  # "max", or no such files
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
