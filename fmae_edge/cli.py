"""The entry point of `fmae-edge`: the Typer app, a fast path without it, and errors as exit codes.

Few modules are imported here, because Ctrl-C during these imports prints a traceback.
"""

import errno
import gc
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from io import TextIOWrapper
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from typer import Typer

    from fmae_edge.bulk.run import BulkRun

_COMMANDS = ("compress", "decompress", "compare", "reconstruct", "info", "page", "doctor")
# These multiply large matrices. The others are no faster with more threads, so OpenBLAS starts none for them
_BLAS_COMMANDS = ("train", "export", "parity", "bench", "evaluate", "report")
OLDEST_TYPER = (0, 20)  # as in pyproject.toml; older ones fail with a RuntimeError about types
_FAILED_WRITES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


def run() -> None:
    """Run `main` as a process of its own, and end it."""
    main()
    # A call comes here only if it succeeded without Typer. Its files are closed and its threads have ended, and
    # Python would take a tenth of a cold start to free all objects one by one.
    sys.stderr.flush()
    os._exit(0)


def main() -> None:
    """Run `fmae-edge`: errors become one sentence on stderr and exit code 1, wrong usage exit code 2."""
    try:
        _prepare_streams()
        _run()
    except BrokenPipeError:  # the program that reads the output has ended
        from fmae_edge.commands.console import drop_unwritten

        drop_unwritten()
        sys.exit(1)
    except KeyboardInterrupt as error:
        _fail("interrupted", error, exit_code=130)
    except Exception as error:
        if any(isinstance(cause, KeyboardInterrupt) for cause in _causes(error)):  # in a module written in C
            _fail("interrupted", error, exit_code=130)
        _fail(_sentence(error), error)


def _prepare_streams() -> None:
    # Imported before an error can occur: there may be no memory for it later
    from fmae_edge.commands.console import ClosedOutput

    if isinstance(sys.stdout, TextIOWrapper):  # a file name may contain bytes that are not text
        sys.stdout.reconfigure(errors="backslashreplace")
    if sys.stdout is None:  # the caller closed it: print would drop the results without an error
        sys.stdout = ClosedOutput()
    if sys.stderr is None:  # the caller closed it: print would write to standard output, where results may go
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123


def _run() -> None:
    gc.disable()  # imports leave no garbage to collect
    from fmae_edge.commands.console import UsageError
    from fmae_edge.runtime.errors import FmaeError

    arguments = sys.argv[1:]
    needs_blas = arguments[:1] != [] and arguments[0] in _BLAS_COMMANDS
    if not needs_blas:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        if "" in arguments:  # as a path it would be the current folder
            raise UsageError("an argument is empty: check for a shell variable that is not set")
        if needs_blas and not {"-h", "--help"} & set(arguments):
            _import_numpy()
        call = fast_path(arguments) or partial(build_app(), prog_name="fmae-edge")
        gc.freeze()  # later collections do not look at what was imported
        gc.enable()
        try:
            call()
        except SystemExit as end:
            if end.__context__ is not None and isinstance(end.__context__.__cause__, KeyboardInterrupt):
                raise KeyboardInterrupt from None  # Typer exits with 130 and prints nothing
            raise
        finally:  # Typer raises SystemExit; a failed write must be reported before Python exits
            sys.stdout.flush()
            gc.freeze()  # Python collects twice at exit, which takes a tenth of a cold start
    except UsageError as error:
        _fail(str(error), error, exit_code=2)
    except FmaeError as error:
        _fail(str(error), error)
    except BrokenPipeError:
        raise
    except OSError as error:  # a folder that may not be searched, a name that is too long, a full disk, ...
        if error.filename:
            _fail(f"{error.filename}: {error.strerror}", error)
        if error.errno in _FAILED_WRITES:  # an error about a file has a filename
            _fail(f"standard output cannot be written ({error.strerror})", error)
        _fail(error.strerror or str(error), error)


def fast_path(arguments: Sequence[str]) -> Callable[[], None] | None:
    """Return the call for common `arguments`, or None if Typer has to parse them.

    Typer is not imported for `--version`, nor for `compress FILE...` and `decompress FILE...` with no options
    except `-o OUTPUT` and `--force`. docs/measured.md has the time that this saves.
    """
    if list(arguments) == ["--version"]:
        from fmae_edge import __version__

        return partial(print, f"fmae-edge {__version__}")
    if not arguments or arguments[0] not in ("compress", "decompress"):
        return None
    files: list[str] = []
    output, force = "", False
    remaining = iter(arguments[1:])
    for argument in remaining:
        if argument in ("-o", "--output"):
            value = next(remaining, "")
            if output or not value or value.startswith("--"):
                return None
            output = value
        elif argument == "--force":
            force = True
        elif argument and (argument == "-" or not argument.startswith("-")):
            files.append(argument)
        else:
            return None
    if not files:
        return None
    from fmae_edge.commands.print_outcomes import convert_and_print

    convert: Callable[..., BulkRun]
    if arguments[0] == "compress":
        from fmae_edge.bulk.compress import compress_files as convert
    else:
        from fmae_edge.bulk.decompress import decompress_files as convert
    return partial(convert_and_print, convert, files, output or None, force=force)


def build_app() -> "Typer":
    """Return the Typer app with all commands. A command imports what it needs when it runs."""
    from importlib import import_module
    from typing import Annotated

    import typer

    from fmae_edge import __version__
    from fmae_edge.runtime.errors import FmaeError

    if tuple(map(int, re.findall(r"\d+", typer.__version__)))[:2] < OLDEST_TYPER:
        oldest = ".".join(map(str, OLDEST_TYPER))
        raise FmaeError(f"typer {typer.__version__} is too old: pip install 'typer>={oldest}'")
    from fmae_edge.commands.bulk import bulk_app
    from fmae_edge.commands.options import add_command

    app = typer.Typer(
        help="Train an image codec for one kind of small image, and compress with it. The built-in bundles, "
        "default and detail, are for 28x28 gray images of clothing; a --bundle of your own is for images like "
        "those it was trained on.\n\n"
        "\b\nExample:\n  fmae-edge compress img.png -o img.fmae\n  fmae-edge decompress img.fmae",
        epilog="Run fmae-edge COMMAND --help for the options of a command. Exit codes: 0 success, 1 something "
        "failed, 2 wrong usage, 130 Ctrl-C. Environment: FMAE_EDGE_THREADS, else OMP_NUM_THREADS, sets the number "
        "of threads; NO_COLOR turns colours off.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for name in (*_COMMANDS, *_BLAS_COMMANDS):
        add_command(app, getattr(import_module(f"fmae_edge.commands.{name}"), name))
    app.add_typer(bulk_app(), name="bulk")

    def print_version(wanted: bool) -> None:
        if wanted:
            typer.echo(f"fmae-edge {__version__}")
            raise typer.Exit

    @app.callback()
    def _(
        version: Annotated[
            bool,
            typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit."),
        ] = False,
    ) -> None:
        pass

    return app


def _import_numpy() -> None:
    """Import numpy. Raises ResourceError if OpenBLAS cannot start threads: it then sends SIGINT, like Ctrl-C."""
    if sys.platform != "linux":  # only Linux reports which process sent a signal
        return
    from fmae_edge.runtime.errors import ResourceError

    interrupt, old = {signal.SIGINT}, signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        import numpy as np  # noqa: F401

        sent = signal.sigtimedwait(interrupt, 0)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
    if sent is not None and sent.si_pid == os.getpid():
        raise ResourceError("numpy cannot be loaded")
    if sent is not None:
        raise KeyboardInterrupt


def _sentence(error: Exception) -> str:
    """Return the message for an error that no command handles."""
    from fmae_edge.commands.import_errors import missing_library, missing_package
    from fmae_edge.runtime.errors import OUT_OF_RESOURCES, lacks_resources

    if sentence := missing_package(error) or missing_library(_causes(error)):
        return sentence
    for cause in _causes(error):
        if isinstance(cause, MemoryError):
            return "out of memory"
        if lacks_resources(cause):
            return OUT_OF_RESOURCES
    description = " ".join(f"{type(error).__name__}: {error}".split())
    return f"unexpected error ({description}); run again with --debug and attach the output of fmae-edge doctor"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _fail(sentence: str, error: BaseException, exit_code: int = 1) -> NoReturn:
    from fmae_edge.commands.console import drop_unwritten, say_error

    say_error(sentence, error)
    drop_unwritten()
    sys.exit(exit_code)
