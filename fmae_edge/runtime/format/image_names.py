"""Check the names of images in a .fmae file: relative paths whose parts are valid file names on any system.

The rule is a list of code points, the same as in spec/format.md. Python's own properties of a character, such as
whether it is printable, change with the version of Unicode: a name could be valid on one machine only.
"""

import re
from collections.abc import Collection, Mapping, Set
from contextlib import suppress
from itertools import pairwise

from fmae_edge.runtime.errors import InputError, shown

_MAX_PART_BYTES = 200  # file systems allow 255, and a file has a longer name while it is written
_MAX_NAME_BYTES = 1000  # of a path; macOS allows 1024
_CONTROLS = r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
_SPECIAL_ON_WINDOWS = r'<>:"|?*\\'
_BIDIRECTIONAL = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_INVISIBLE = (
    r"\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0"
    r"\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_SURROGATES = r"\ud800-\udfff"
# Patterns are compiled at their first use: most files have no names, and compiling takes a millisecond
_REFUSED = f"[{_CONTROLS}{_SPECIAL_ON_WINDOWS}{_BIDIRECTIONAL}{_INVISIBLE}{_SURROGATES}]"
# With re.ASCII, letters are only A to Z; without it, a Turkish dotless i matches an I
_DEVICE = r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3]) *(?:\..*)?"
_NOT_LISTS = (str, bytes, bytearray, memoryview, Mapping, Set)


def as_names(names: object, images: int, *, paths: bool = True) -> list[str]:
    """Return `names` as a list, in the same order; without `paths`, no name may contain a `/`.

    Raises InputError if they are not a list of different names, one per image, that spec/format.md allows.
    """
    given: list[object] | None = None
    if isinstance(names, Collection) and not isinstance(names, _NOT_LISTS):
        with suppress(TypeError):  # an array without a dimension
            given = list(names)
    if given is None:
        raise InputError(f"expected a list of {images} names, got {type(names).__name__}")
    if len(given) != images:
        raise InputError(f"expected a list of {images} names, one per image, got {len(given)}")
    listed: list[str] = []
    for name in given:
        if not isinstance(name, str):
            raise InputError(f"{shown(name)} is not a name; expected a str")
        problem = _problem_of(name, paths)
        if problem:
            raise InputError(f"{shown(name)} cannot be the name of an image: {problem}")
        listed.append(name)
    # With the smallest character for "/", the files in a folder directly follow a name that equals the folder's
    for before, after in pairwise(sorted(listed, key=lambda name: name.replace("/", "\0"))):
        if before == after:
            raise InputError(f"{shown(before)} is the name of two images; names must be different")
        if after.startswith(f"{before}/"):
            raise InputError(f"{shown(before)} is the name of an image and the folder of {shown(after)}")
    return listed


def read_names(listed: bytes, images: int, *, paths: bool) -> tuple[str, ...]:
    """Return the names in a .fmae file, which are UTF-8, separated by zero bytes.

    Raises InputError as `as_names` does.
    """
    try:
        text = listed.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"byte {error.start} of the names is not valid UTF-8") from None
    return tuple(as_names(text.split("\0") if listed or images else [], images, paths=paths))


def _problem_of(name: str, paths: bool) -> str:
    """Return the reason why `name` is refused, or an empty text."""
    refused = re.search(_REFUSED, name)
    if refused:
        return f"it contains U+{ord(refused[0]):04X}"
    if "/" in name and not paths:
        return "it contains a /"
    if len(name.encode()) > _MAX_NAME_BYTES:
        return f"it has more than {_MAX_NAME_BYTES} bytes"
    for part in name.split("/"):
        if not part:
            return "it has an empty part"
        if part in (".", ".."):
            return f"{part} is a folder on every system"
        if part.endswith((".", " ")):
            return "Windows drops a dot or space at the end"
        if re.fullmatch(_DEVICE, part, re.ASCII | re.IGNORECASE):
            return f"{part} is a device on Windows"
        if len(part.encode()) > _MAX_PART_BYTES:
            return f"a part of it has more than {_MAX_PART_BYTES} bytes"
    return ""
