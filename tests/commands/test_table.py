"""Tables for people: aligned columns, and names that cannot break them."""

from fmae_edge.commands.console import format_table


def test_columns_are_aligned_and_lines_end_with_their_last_cell():
    rows = [("a.png", "7", ""), ("a longer name.png", "1234", "x")]
    assert format_table(("image", "bytes", "note"), rows).split("\n") == [
        "image              bytes  note",
        "-----------------  -----  ----",
        "a.png                  7",
        "a longer name.png   1234     x",
    ]


def test_control_characters_are_escaped_before_they_are_measured():
    assert format_table(("name", "n"), [("a\nb\x1b", "1")]).split("\n")[1:] == ["--------  -", r"a\nb\x1b  1"]
