"""Merge table rows with equal cells, as in the parity tables of the command line and the report."""

from collections.abc import Mapping, Sequence


def merge_equal_rows(rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> list[dict[str, str]]:
    """Merge rows that differ only in one of `columns`; the merged row lists the cells of that column: "1, 7, 256".

    A merged row stands for every combination of the cells that it lists. It takes the place of its first row.
    """
    merged = [dict(row) for row in rows]
    for column in columns:
        by_other_cells: dict[tuple[str, ...], dict[str, str]] = {}
        for row in merged:
            others = tuple(cell for name, cell in row.items() if name != column)
            if others in by_other_cells:
                by_other_cells[others][column] += f", {row[column]}"
            else:
                by_other_cells[others] = row
        merged = list(by_other_cells.values())
    return merged
