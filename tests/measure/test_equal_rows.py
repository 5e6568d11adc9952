"""Rows with equal cells are merged into one that lists the others, and no row is lost or invented."""

from itertools import product

from fmae_edge.measure.equal_rows import merge_equal_rows


def rows_of(psnr):
    """Return a row for each batch size and setting, with the PSNR that `psnr` returns for it."""
    return [{"batch": batch, "on": on, "dB": psnr(batch, on)} for batch, on in product("178", ("no", "yes"))]


def test_rows_that_differ_only_in_the_columns_are_merged():
    assert merge_equal_rows(rows_of(lambda batch, on: "20"), ("batch", "on")) == [
        {"batch": "1, 7, 8", "on": "no, yes", "dB": "20"}
    ]
    assert merge_equal_rows(rows_of(lambda batch, on: on), ("batch", "on")) == [
        {"batch": "1, 7, 8", "on": "no", "dB": "no"},
        {"batch": "1, 7, 8", "on": "yes", "dB": "yes"},
    ]


def test_different_rows_are_not_merged():
    rows = rows_of(lambda batch, on: batch + on)
    assert merge_equal_rows(rows, ("batch", "on")) == rows
    assert merge_equal_rows([], ("batch", "on")) == []


def test_a_merged_row_stands_for_every_combination_of_its_cells():
    rows = rows_of(lambda batch, on: "19" if (batch, on) == ("7", "yes") else "20")
    expanded = [
        {"batch": batch, "on": on, "dB": row["dB"]}
        for row in merge_equal_rows(rows, ("batch", "on"))
        for batch, on in product(row["batch"].split(", "), row["on"].split(", "))
    ]
    assert sorted(expanded, key=str) == sorted(rows, key=str)
