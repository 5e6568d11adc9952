"""Names of images: those that spec/format.md allows, independent of Python's version of Unicode."""

import re
import unicodedata
from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmae_edge import InputError
from fmae_edge.runtime.format.fmae_file import pack_many, unpack
from fmae_edge.runtime.format.image_names import as_names, read_names
from tests.conftest import REPOSITORY

BUNDLE = "0123456789abcdef"
LETTERS = st.characters(categories=["L", "N", "S", "Pd"], exclude_characters='<>|"\u115f\u1160\u3164\uffa0')
PARTS = st.text(LETTERS, min_size=1, max_size=20).map("n".__add__)


@given(st.lists(st.lists(PARTS, min_size=1, max_size=4).map("/".join), unique=True, max_size=10))
def test_valid_names_come_back_unless_one_is_the_folder_of_another(names):
    folder = any(after.startswith(f"{before}/") for before in names for after in names)
    if folder:
        with pytest.raises(InputError, match="is the name of an image and the folder of"):
            as_names(names, len(names))
        return
    payloads = [name.encode() for name in names]
    file = unpack(pack_many(payloads, 3, BUNDLE, as_names(names, len(names))), BUNDLE)
    assert file.names == tuple(names)
    assert file.version == (2 if any("/" in name for name in names) else 1)


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "IMG 0001",
        "-rf",
        ".hidden",
        "a.b.c",
        " leading space",
        "Screenshot 9.41.00\u202fAM",  # the space that macOS writes
        "non-breaking\u00a0space",
        "\u3000",
        "h\u00e9",
        "he\u0301",
        "\u2764\ufe0f",  # a heart, and that it is red
        "\U0001fae8",  # a character of Unicode 15, which Python 3.11 does not know
        "\U000e1fff\u0378\uffff\ue000",  # unassigned, noncharacter, private
        "x" * 200,
        "\u00e9" * 100,
        "CONSOLE",
        "COM",
        "COM10",
        "lpt\u0661",  # an Arabic digit one
        "CO\u0274",
        "con\u0131n$",  # a dotless i
        "a/b",
        "a/b/c.d",
        ".git/x",
        "/".join(["x" * 99] * 10),
    ],
)
def test_names_that_are_allowed(name):
    assert as_names([name], 1) == [name]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "empty"),
        (".", "is a folder"),
        ("..", "is a folder"),
        ("a/../b", "is a folder"),
        ("/a", "empty"),
        ("a//b", "empty"),
        ("a/", "empty"),
        ("a\\b", r"contains U\+005C"),
        ("C:evil", r"contains U\+003A"),
        ("a.", "drops a dot or space"),
        ("a ", "drops a dot or space"),
        ("a./b", "drops a dot or space"),
        ("...", "drops a dot or space"),
        ("x" * 201, "more than 200 bytes"),
        ("\u00e9" * 101, "more than 200 bytes"),
        ("a/" + "x" * 201, "more than 200 bytes"),
        ("/".join(["x" * 100] * 10), "more than 1000 bytes"),
        *((f"a{character}", "contains U") for character in '<>:"|?*'),
        *((name, "is a device on Windows") for name in ("CON", "con", "Prn", "AUX", "nul", "CONIN$", "conout$")),
        *((f"{port}{digit}", "is a device") for port in ("COM", "lpt") for digit in "0129\u00b9\u00b2\u00b3"),
        ("nul.tar.gz", "is a device"),
        ("CON .txt", "is a device"),
        ("a/aux/b", "is a device"),
    ],
)
def test_names_that_are_refused(name, reason):
    with pytest.raises(InputError, match=f"cannot be the name of an image: .*{reason}"):
        as_names([name], 1)


def listed_on_the_page():
    """Return the refused code points in the table of spec/format.md."""
    page = (REPOSITORY / "spec/format.md").read_text()
    rows = re.findall(r"^\| ((?:[0-9A-F]{4,5}(?:-[0-9A-F]{4,5})?(?:, )?)+) \|", page, re.MULTILINE)
    assert len(rows) == 4
    for codes in ", ".join(rows).split(", "):
        first, _, last = codes.partition("-")
        yield from range(int(first, 16), int(last or first, 16) + 1)


def is_allowed(code):
    try:
        as_names([f"a{chr(code)}b"], 1)
    except InputError:
        return False
    return True


def test_exactly_the_code_points_of_the_page_are_refused():
    listed = {*listed_on_the_page(), *map(ord, '<>:"|?*\\')}
    found = {code for code in range(0x30000) if not is_allowed(code)}
    found |= {code for code in range(0xDFFFF, 0xE1100) if not is_allowed(code)}
    assert found == listed


def test_control_and_invisible_characters_are_refused():
    for code in range(0x110000):
        character = chr(code)
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(character) in (
            *("LRE", "LRO", "RLE", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"),
        ):
            assert not is_allowed(code), hex(code)


@pytest.mark.parametrize(
    "names",
    [
        ["a"],
        ["a", "b", "c"],
        ["a", "a"],
        ["a", "a/b"],
        ["a/b/c", "a/b"],
        ["a", 5],
        ["a", b"b"],
        ["a", None],
        "ab",
        5,
        None,
        iter("ab"),
        {"a": 1, "b": 2},
        {"a", "b"},
        np.array("ab"),
        b"ab",
    ],
)
def test_lists_that_are_refused(names):
    with pytest.raises(InputError):
        as_names(names, 2)


@pytest.mark.parametrize("names", [b"ab", bytearray(b"ab"), memoryview(b"ab"), "ab"], ids=type)
def test_a_str_is_not_a_list_of_names(names):
    with pytest.raises(InputError, match=f"expected a list of 2 names, got {type(names).__name__}"):
        as_names(names, 2)


def test_a_name_that_is_also_a_folder_is_found_between_other_names():
    for between in ("a b", "a-b", "a.b", "a0", "a\u00e9"):
        with pytest.raises(InputError, match="'a' is the name of an image and the folder of 'a/b'"):
            as_names(["a/b", between, "a"], 3)


@pytest.mark.parametrize(
    "names", [("a", "b"), np.array(["a", "b"]), deque(["a", "b"]), ["a", "A"], ["a.b", "a/b"], ["a-b", "a/b"]]
)
def test_lists_that_are_allowed(names):
    assert as_names(names, 2) == list(names)


def test_a_message_repeats_a_few_characters_of_a_name():
    with pytest.raises(InputError) as caught:
        as_names(["x" * 100_000], 1)
    assert len(str(caught.value)) < 300


def test_checking_many_deep_names_takes_linear_time():
    names = [f"{number:06d}" + "/x" * 497 for number in range(2000)]
    assert read_names("\0".join(names).encode(), len(names), paths=True) == tuple(names)
