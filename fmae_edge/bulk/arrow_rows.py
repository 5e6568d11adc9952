"""Compress and decompress tables of Arrow, in which columns keep their types; Parquet, Ray and Spark use them."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fmae_edge.bulk.payload_format import KEY
from fmae_edge.bulk.rows import Compress, Decompress, column_of
from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.extras import needs_extra

with needs_extra("bulk"):
    import pyarrow as pa

Rows = TypeVar("Rows", pa.RecordBatch, pa.Table)


class ArrowRows:
    """Call `Compress`, or `Decompress` with `png`, on tables.

    The column that is read is left out of the result: images are many times larger than their payloads. The
    metadata of the schema is that of the payloads, because older metadata may describe columns that have changed.
    """

    def __init__(self, rows: Compress | Decompress) -> None:
        self._rows = rows

    def schema(self, given: pa.Schema) -> pa.Schema:
        """Return the schema of the result for tables of the schema `given`.

        Raises InputError if the column that is read is missing, or two columns have the same name.
        """
        rows = self._rows
        twice = [name for name, count in Counter(given.names).items() if count > 1]
        if twice:
            raise InputError(f"{given.names.count(twice[0])} columns are named {twice[0]!r}; rename all but one")
        column_of(dict.fromkeys(given.names, ()), rows.column)
        metadata = None
        if isinstance(rows, Compress):
            added = [pa.field("payload", pa.binary()), pa.field("bits", pa.int64())]
            added += [pa.field("psnr", pa.float64())] if rows.psnr else []
            metadata = {KEY: rows.format.to_json().encode()}
        else:
            added = [pa.field("image", pa.binary())]
        added += [pa.field("status", pa.string()), pa.field("error", pa.string())]
        names = {rows.column, *(field.name for field in added)}
        return pa.schema([field for field in given if field.name not in names] + added, metadata)

    def __call__(self, table: Rows) -> Rows:
        """Return the rows of `table` with the columns of `schema`, in the same order."""
        schema, read = self.schema(table.schema), {self._rows.column: values_of(table, self._rows.column)}
        if isinstance(self._rows, Decompress) and {"status", "error"} <= set(table.schema.names):
            read |= {name: values_of(table, name) for name in ("status", "error")}
        return with_columns(table, self._rows(read), schema)


def with_columns(table: Rows, columns: Mapping[str, Any], schema: pa.Schema) -> Rows:
    """Return a table of this schema: its columns are those in `columns`, and for other names those of `table`."""
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else table.column(field.name)
        for field in schema
    ]
    return type(table).from_arrays(arrays, schema=schema)


def values_of(table: pa.RecordBatch | pa.Table, name: str) -> NDArray[Any]:
    """Return a column as `Compress` and `Decompress` take it: an array of numbers (N, ...) or of N objects.

    Of an image that is a struct, as in the data sets of Hugging Face, the field `bytes` is taken.
    """
    column = table.column(name)
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_struct(column.type):
        if column.type.get_field_index("bytes") < 0:
            raise InputError(f"column {name!r} is {column.type}; expected encoded images or levels")
        column = column.field("bytes")
    if isinstance(column, pa.ExtensionArray) and not column.null_count:
        # Tensors of Arrow and of Ray
        to_array = getattr(column, "to_numpy_ndarray", None) or (lambda: column.to_numpy(zero_copy_only=False))
        values: NDArray[Any] = to_array()
        return values
    if _is_list(column.type) and pa.types.is_integer(column.type.value_type) and not column.null_count:
        lengths, levels = column.value_lengths().to_numpy(), column.flatten()
        if len(lengths) and lengths.min() == lengths.max() and not levels.null_count:
            rows: NDArray[Any] = levels.to_numpy().reshape(len(lengths), -1)
            return rows
    try:
        listed = column.to_pylist()
    except (ValueError, OverflowError) as error:  # times that Python does not have
        raise InputError(f"column {name!r} is {column.type}; expected encoded images or levels") from error
    objects = np.empty(len(column), object)
    for number, value in enumerate(listed):
        objects[number] = value
    return objects


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
