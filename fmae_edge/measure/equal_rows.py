"""Merge table rows with equal cells, as in the parity tables of the command line and the report."""

from collections.abc import Mapping, Sequence


def merge_equal_rows(rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> list[dict[str, str]]:
    """Merge rows that differ only in one of `columns`; the merged row lists the cells of that column: "1, 7, 256".

    A merged row stands for every combination of the cells that it lists. It takes the place of its first row.
    """
    merged = [dict(row) for row in rows]
    for column in columns:
        found: dict[tuple[str, ...], dict[str, str]] = {}
        for row in merged:
            rest = tuple(cell for name, cell in row.items() if name != column)
            if rest in found:
                found[rest][column] += f", {row[column]}"
            else:
                found[rest] = row
        merged = list(found.values())
    return merged
