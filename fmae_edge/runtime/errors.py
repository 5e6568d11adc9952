"""The errors that fmae-edge raises for bad data, a bad file or a bad bundle.

Each message is a sentence that names the invalid value and says what to do.
"""

LONGEST_INTEGER = 1024  # bits: Python refuses to print integers of thousands of digits
OUT_OF_RESOURCES = "out of threads or memory; ulimit -u and ulimit -v show the limits"
# In messages of glibc, musl and CPython, whose errors then have no number
_SIGNS_OF_IT = (
    "failed to map segment",
    "annot allocate memory",
    "can't allocate lock",
    "can't start new thread",
)


class FmaeError(Exception):
    """The base class of all errors of fmae-edge."""


class InputError(FmaeError, ValueError):
    """Invalid data: a wrong shape, dtype, range or file content."""


class ArgumentError(InputError):
    """An invalid argument of a call: `argument` is its name, and `problem` continues the sentence."""

    def __init__(self, argument: str, problem: str) -> None:
        super().__init__(argument, problem)
        self.argument, self.problem = argument, problem

    def __str__(self) -> str:
        return f"{self.argument} {self.problem}"


class BundleError(FmaeError):
    """A bundle that is incomplete, altered, or made for another version of the format."""


class OutputError(FmaeError):
    """A result that cannot be written to the requested path, or not without losing data."""


class DiskError(OutputError):
    """A disk that is full, over quota or read-only: other results could not be written either."""


class ResourceError(FmaeError):
    """A lack of threads or memory, because of which `what` cannot be done; other inputs would fail too."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what}: {OUT_OF_RESOURCES}"


def lacks_resources(error: BaseException) -> bool:
    """Return whether the message of an error indicates a lack of threads or memory."""
    return any(sign in str(error) for sign in _SIGNS_OF_IT)


def shown(value: object, most: int = 200) -> str:
    """Return the text of a value for a message: its repr, cut to about `most` characters."""
    if isinstance(value, int) and value.bit_length() > LONGEST_INTEGER:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, str) and len(value) > most:
        return f"{value[:most]!r}..."
    try:
        text = repr(value)
    except Exception:  # a list of such integers, or an object whose __repr__ fails
        return f"a {type(value).__name__} that cannot be printed"
    return text if len(text) <= most else text[: most - 3] + "..."
