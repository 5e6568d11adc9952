"""The number of threads is the requested one, else that of the CPUs that this process may use."""

import numpy as np
import pytest

from fmae_edge import Codec, InputError
from fmae_edge.runtime.engine.cpus import OPENMP_VARIABLE, VARIABLE, available_cpus, choose_threads, cpu_quota


def group_files(root, membership, **files):
    """Write the files with which Linux describes control groups under `root`."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(membership)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(path.name.replace("_max", ".max").replace("cpu_cfs", "cpu.cfs")).write_text(text)


def test_a_quota_of_version_2_is_that_of_the_group_or_of_a_parent(tmp_path):
    own = {"a__b__cpu_max": "max 100000\n", "a__cpu_max": "150000 100000\n", "cpu_max": "400000 100000\n"}
    group_files(tmp_path, "0::/a/b\n", **own)
    assert cpu_quota(tmp_path) == 1.5


def test_inside_a_container_the_group_is_the_root(tmp_path):
    group_files(tmp_path, "0::/\n", cpu_max="50000 100000\n")
    assert cpu_quota(tmp_path) == 0.5


def test_a_quota_of_version_1(tmp_path):
    files = {"cpu,cpuacct__x__cpu_cfs_quota_us": "300000\n", "cpu,cpuacct__x__cpu_cfs_period_us": "100000\n"}
    group_files(tmp_path, "9:memory:/y\n4:cpu,cpuacct:/x\n0::/\n", **files)
    assert cpu_quota(tmp_path) == 3


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"cpu_max": "max 100000\n"},
        {"cpu_max": "100000 0\n"},
        {"cpu_max": "-1 100000\n"},
        {"cpu_max": "what is this\n"},
        {"cpu__cpu_cfs_quota_us": "-1\n", "cpu__cpu_cfs_period_us": "100000\n"},
    ],
)
def test_without_a_quota(tmp_path, files):
    group_files(tmp_path, "4:cpu:/\n0::/\nnonsense\n", **files)
    assert cpu_quota(tmp_path) is None


def test_neither_proc_nor_sys(tmp_path):
    assert cpu_quota(tmp_path / "nowhere") is None


@pytest.mark.parametrize(("quota", "threads"), [(None, 3), (8.0, 3), (2.9, 2), (0.2, 1)])
def test_cpus_are_limited_by_affinity_and_quota(monkeypatch, quota, threads):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delenv(OPENMP_VARIABLE, raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {5, 9, 11})
    monkeypatch.setattr("fmae_edge.runtime.engine.cpus.cpu_quota", lambda: quota)
    assert available_cpus() == threads
    chosen, why = choose_threads()
    assert chosen == threads
    assert ("quota" in why) == (threads < 3)


def test_an_argument_overrides_the_environment(monkeypatch):
    monkeypatch.setenv(OPENMP_VARIABLE, "7")
    monkeypatch.setenv(VARIABLE, "5")
    assert choose_threads(2) == (2, "requested")
    assert choose_threads(np.int64(3)) == (3, "requested")
    assert choose_threads() == (5, VARIABLE)
    monkeypatch.delenv(VARIABLE)
    assert choose_threads() == (7, OPENMP_VARIABLE)


@pytest.mark.parametrize(("value", "threads"), [("4", 4), ("4,2", 4), (" 3 , 2", 3), ("1024", 1024)])
def test_openmp_s_variable_may_be_a_list(monkeypatch, value, threads):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv(OPENMP_VARIABLE, value)
    assert choose_threads() == (threads, OPENMP_VARIABLE)


@pytest.mark.parametrize("value", ["", "0", "-1", "many", ",2", "1025", "9" * 5000, "2.0", "\u0662"])
def test_an_invalid_value_of_openmp_s_variable_is_ignored(monkeypatch, value):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv(OPENMP_VARIABLE, value)
    monkeypatch.setattr("fmae_edge.runtime.engine.cpus._cpus_and_why", lambda: (3, "CPUs"))
    assert choose_threads() == (3, "CPUs")


@pytest.mark.parametrize("threads", [0, -1, 1025, 10**5000, -(10**5000), True, 2.0, "2"], ids=range(8))
def test_invalid_numbers_of_threads_are_refused(threads):
    with pytest.raises(InputError, match=r"threads is .{1,60}; expected an integer from 1 to 1024"):
        Codec(threads=threads)


@pytest.mark.parametrize("value", ["", "0", "-1", "two", "1025", "00001999999", "9" * 5000, "1.0", "\u0662"])
def test_an_invalid_value_of_our_variable_is_refused(monkeypatch, value):
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(InputError, match=f"{VARIABLE} is '{value[:40]}"):
        Codec()
    Codec(threads=1)  # the variable is not read
