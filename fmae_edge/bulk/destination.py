"""Parse the value of -o."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fmae_edge.bulk.sources import STREAM, as_path
from fmae_edge.bulk.usage import UsageError

_FIELD = re.compile(r"\{(\w*)\}")
_FIELDS = ("folder", "path", "stem")


@dataclass(frozen=True)
class Destination:
    """A file; `-`; a folder; or a pattern with fields for parts of an input's name.

    A folder is one that exists, a name without a suffix, or a name that ends in /.
    """

    path: Path
    said_folder: bool = False

    def __str__(self) -> str:
        return str(self.path)

    @classmethod
    def parse(cls, text: str) -> "Destination":
        """Parse `text`. Raises UsageError for an option, and for a pattern with unknown fields or no file name."""
        if text.startswith("-") and text != str(STREAM):
            raise UsageError(f"-o needs a path, got the option {text}; write ./{text} if it is a file name")
        path = as_path(text)
        said_folder = text.endswith(("/", os.sep))
        if not path.is_dir():
            if said_folder and _FIELD.search(text):
                raise UsageError(f"{text}: is a pattern without a file name; end it with {{stem}} and a suffix")
            for field in _FIELD.findall(text):
                if field not in _FIELDS:
                    raise UsageError(f"{text}: unknown field {{{field}}}; use {{{'}, {'.join(_FIELDS)}}}")
            if set("{}") & set(_FIELD.sub("", text)):
                raise UsageError(f"{text}: has an unmatched brace; the fields are {{{'}, {'.join(_FIELDS)}}}")
        return cls(path, said_folder)

    @property
    def is_pattern(self) -> bool:
        """Whether it contains a field."""
        return _FIELD.search(str(self.path)) is not None and not self.path.is_dir()

    @property
    def is_folder(self) -> bool:
        """Whether results are written into it."""
        if self.said_folder or self.path.is_dir():
            return True
        return not self.is_pattern and self.path != STREAM and not self.suffix

    @property
    def suffix(self) -> str:
        """The suffix of results in lower case, or an empty string for a folder and `-`."""
        if self.said_folder or self.path.is_dir():
            return ""
        name = self.path.name.lower()
        return self.path.suffix.lower() or (name if name.startswith(".") else "")

    def names_one(self, suffix: str) -> bool:
        """Whether it is a single file whose name ends in `suffix`, not a pattern."""
        return self.suffix == suffix and not self.is_pattern

    def fill(self, values: Mapping[str, object]) -> Path:
        """Return the path with the fields replaced by `values`."""
        return Path(_FIELD.sub(lambda field: str(values[field[1]]), str(self.path)))
