"""Describe the bare payloads of a table in the metadata of its schema, because a payload alone says nothing.

Tables of Parquet have the description under the key `fmae_edge`, as JSON: the version of this description, the id
of the bundle, the quality, and the size of the images.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from fmae_edge.runtime.bundle.built_in import name_of
from fmae_edge.runtime.errors import InputError, shown
from fmae_edge.runtime.fmae_writer import as_quality

KEY = b"fmae_edge"
FORMAT_VERSION = 1
# Spark keeps the metadata of a column in the JSON of its own schema
_SPARK_KEY = b"org.apache.spark.sql.parquet.row.metadata"


@dataclass(frozen=True)
class PayloadFormat:
    """What decoding the payloads of a table needs: the bundle with this id, and the quality."""

    bundle_id: str
    quality: int
    image_shape: tuple[int, ...]

    def to_json(self) -> str:
        """Return the description as JSON."""
        record = {"format": FORMAT_VERSION, "bundle_id": self.bundle_id, "quality": self.quality}
        return json.dumps({**record, "image_shape": list(self.image_shape)})

    def require_bundle(self, bundle_id: str, where: str) -> None:
        """Raise InputError unless `bundle_id` is the id of the bundle that made the payloads in `where`."""
        if bundle_id != self.bundle_id:
            name = name_of(self.bundle_id)
            known = f", the built-in bundle {name!r}" if name else ""
            raise InputError(
                f"{where}: the payloads were made with bundle {self.bundle_id}{known}, not with {bundle_id}; "
                f"use {'that one' if name is None else f'bundle {name!r}'}"
            )


def read_format(metadata: Mapping[bytes, bytes] | None, where: str) -> PayloadFormat | None:
    """Return the description in the metadata of a schema, None if there is none. `where` names the table.

    Raises InputError if it is damaged or has a newer version.
    """
    metadata = metadata or {}
    text = metadata.get(KEY)
    if text is not None:
        return _parse(text, where)
    if _SPARK_KEY not in metadata:
        return None
    try:
        fields = json.loads(metadata[_SPARK_KEY])["fields"]
        texts = [field["metadata"][KEY.decode()] for field in fields if KEY.decode() in field["metadata"]]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return _parse(texts[0], where) if texts else None


def require_quality(
    metadata: Mapping[bytes, bytes] | None, where: str, bundle_id: str, quality: int | None = None
) -> int:
    """Return the quality of the payloads in a table, which its metadata says, else `quality`.

    Raises InputError if the payloads were made with another bundle than that of `bundle_id`, if their quality is
    unknown, or if it is not `quality`.
    """
    made = read_format(metadata, where)
    if made is None:
        if quality is None:
            raise InputError(
                f"{where}: does not say which bundle and quality its payloads have; give the quality to "
                "Decompress or decompress_dataset"
            )
        return as_quality(quality)
    made.require_bundle(bundle_id, where)
    if quality not in (None, made.quality):
        raise InputError(f"{where}: its payloads have quality {made.quality}, not {quality}")
    return made.quality


def _parse(text: str | bytes, where: str) -> PayloadFormat:
    """Return the description in JSON. Raises InputError if it is damaged or has a newer version."""
    try:
        record = json.loads(text)
        version, bundle_id, shape = record["format"], record["bundle_id"], record["image_shape"]
        if version != FORMAT_VERSION:
            raise InputError(f"its payloads have format {version!r}; this version reads {FORMAT_VERSION}")
        if not isinstance(bundle_id, str) or not all(type(side) is int for side in shape):
            raise TypeError
        return PayloadFormat(bundle_id, as_quality(record["quality"]), tuple(shape))
    except InputError as error:  # it is a ValueError too
        raise InputError(f"{where}: {error}") from None
    except (ValueError, LookupError, TypeError, RecursionError):
        raise InputError(f"{where}: the description of its payloads is damaged: {shown(text)}") from None
