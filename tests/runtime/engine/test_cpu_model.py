"""The CPU is named as Linux reports it, and graphs that do not suit it are named with the cure."""

import re

import pytest

from fmae_edge.runtime.engine import cpu_model
from fmae_edge.runtime.engine.cpu_model import cpu_name, dot_products, suitability

_RASPBERRY = """processor\t: 0
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU part\t: 0xd08

processor\t: 1
CPU implementer\t: 0x41
CPU part\t: 0xd08

Revision\t: c03114
Model\t\t: Raspberry Pi 4 Model B Rev 1.4
"""


def described(root, cpuinfo, board=None):
    """Write the files with which Linux describes a CPU under `root`, and return its name."""
    (root / "proc/device-tree").mkdir(parents=True)
    (root / "proc/cpuinfo").write_bytes(cpuinfo.encode("latin-1"))
    if board is not None:
        (root / "proc/device-tree/model").write_text(f"{board}\0")
    return cpu_name(root)


def arm(*cores):
    return "".join(f"CPU implementer\t: {maker}\nCPU part\t: {part}\n\n" for maker, part in cores)


def test_an_arm_cpu_has_the_names_of_its_cores_and_of_its_board(tmp_path):
    board = "Raspberry Pi 4 Model B Rev 1.4"
    assert described(tmp_path, _RASPBERRY, board) == f"Cortex-A72 ({board})"


@pytest.mark.parametrize(
    ("cores", "name"),
    [
        ([("0x41", "0xd0c")] * 64, "Neoverse N1"),
        ([("0x41", "0xd03")] * 4 + [("0x41", "0xd09")] * 4, "Cortex-A53, Cortex-A73"),
        ([("0x41", "0xfff")], "ARM part 0xfff"),
        ([("0x61", "0x022")], "Apple part 0x022"),
        ([("0x99", "0x001")], "ARM CPU of implementer 0x99 part 0x001"),
    ],
)
def test_cores_are_named_by_number(tmp_path, cores, name):
    assert described(tmp_path, arm(*cores)) == name


def test_an_x86_cpu_has_a_name(tmp_path):
    assert described(tmp_path, "model name\t: AMD EPYC\nflags\t\t: sse avx2 avx512_vnni\n") == "AMD EPYC"
    assert dot_products(tmp_path) == ("avx512_vnni",)


@pytest.mark.parametrize("cpuinfo", ["", "nonsense", "CPU part: many\nCPU implementer: \n", "\xff\xfe: \x80"])
def test_without_a_known_name_it_is_that_of_the_architecture(tmp_path, cpuinfo):
    assert described(tmp_path, cpuinfo)
    assert dot_products(tmp_path) == ()


@pytest.mark.parametrize(
    ("machine", "dots", "target", "said"),
    [
        ("x86_64", ("avx512_vnni",), "avx2", "for avx2, no saturation on this CPU"),
        ("x86_64", (), "avx2", "for avx2, no saturation on this CPU"),
        ("x86_64", ("avx_vnni",), "vnni", "for vnni, no saturation on this CPU"),
        ("AMD64", (), "vnni", "for vnni, and may saturate .* fmae-edge export --int8-target avx2 "),
        (
            "x86_64",
            ("avx512_vnni",),
            "arm",
            "for arm, and many times slower .* --int8-target avx2 ",
        ),
        ("aarch64", ("asimddp",), "arm", "for arm, no saturation on this CPU"),
        ("aarch64", (), "avx2", "for avx2, no saturation on this CPU"),
    ],
)
def test_graphs_that_do_not_suit_the_cpu_are_named_with_the_cure(monkeypatch, machine, dots, target, said):
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(cpu_model, "dot_products", lambda: dots)
    assert re.match(said, suitability(target))
