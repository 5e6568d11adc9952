"""Calls that run without Typer are the same as with it, and Typer parses all other calls."""

import inspect
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmae_edge import cli as command_line
from fmae_edge.cli import build_app, fast_path
from fmae_edge.commands import print_outcomes
from fmae_edge.commands.console import UsageError
from fmae_edge.runtime.bundle.built_in import built_in_folder

APP = build_app()
FAST = [
    "compress a.png",
    "compress a.png b.png -o out",
    "compress -o out.npy --force a.png b.png",
    "compress --output - -",
    "decompress a.npy",
    "decompress --force a.npy -o x.png b.npy",
]
TYPER = [
    "",
    "--help",
    "info",
    "train a.png",
    "compress",
    "compress --help",
    "compress a.png --dtype int8",
    "compress a.png -ox.npy",
    "compress a.png --output=x.npy",
    "compress a.png -r",
    "compress a.png -o",
    "compress a.png -o x -o y",
    "compress a.png -o --force",
    "compress a.png --forc",
    "compress -- -a.png",
    "decompress a.npy --json",
    "--version --help",
]


@pytest.fixture(scope="module")
def parsed_call():
    """Return the function that a call runs and all its arguments, or the error of the call."""
    calls = []

    def note(convert, inputs, output=None, *, json=False, **options):
        bound = inspect.signature(convert).bind(inputs, output, **options)
        bound.apply_defaults()
        calls.append((convert.__name__, {**bound.arguments, "json": json}))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(print_outcomes, "convert_and_print", note)

        def run(call):
            calls.clear()
            try:
                call()
            except UsageError as error:
                return str(error)
            (only,) = calls
            return only

        yield run


@pytest.mark.parametrize("line", FAST)
def test_the_fast_path_makes_the_call_that_typer_makes(line, parsed_call):
    words = line.split()
    assert parsed_call(fast_path(words)) == parsed_call(lambda: APP(words, standalone_mode=False))


WORDS = ("a.png", "b c.npy", "-", "./-", ".//-", "-/", "-o", "--output", "out/", "x.npy", "--force", "{stem}.npy")
ODD_WORDS = ("-a.png", "--", "-r", "-ox.npy", "--output=y", "--forc", "-o=", "{stem", "compress", "--version")


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["compress", "decompress"]),
    st.lists(st.one_of(st.sampled_from(WORDS), st.sampled_from(WORDS + ODD_WORDS)), max_size=6),
)
def test_both_parsers_make_the_same_call_or_refuse_it_in_the_same_way(parsed_call, command, words):
    words = [command, *words]
    call = fast_path(words)
    if call is not None:
        assert parsed_call(call) == parsed_call(lambda: APP(words, standalone_mode=False))


@pytest.mark.parametrize("command", ["compress", "decompress"])
@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ("-o x/", "output", "x/"),
        ("--precision fp32", "precision", "fp32"),
        ("--bundle ./folder", "bundle", Path("folder")),
        ("--bundle detail", "bundle", built_in_folder("detail")),
        ("-r", "recursive", True),
        ("--force", "force", True),
        ("--skip-existing", "skip_existing", True),
        ("--dry-run", "dry_run", True),
        ("--keep-going", "keep_going", True),
        ("-j 7", "jobs", 7),
        ("--json", "json", True),
    ],
)
def test_each_option_changes_its_own_argument_only(parsed_call, command, words, name, value):
    _, usual = parsed_call(lambda: APP([command, "a"], standalone_mode=False))
    _, arguments = parsed_call(lambda: APP([command, "a", *words.split()], standalone_mode=False))
    assert arguments == {**usual, name: value}
    assert usual[name] != value


@pytest.mark.parametrize("line", TYPER)
def test_typer_gets_all_other_calls(line):
    assert fast_path(line.split()) is None


def test_the_version_does_not_need_typer(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["fmae-edge", "--version"])
    command_line.main()
    assert capsys.readouterr().out.startswith("fmae-edge 0.")


def test_compress_of_a_plain_png_loads_neither_typer_nor_pillow(tmp_path, images):
    import subprocess

    from PIL import Image

    Image.fromarray(images[0]).save(tmp_path / "img.png")
    code = (
        "import sys\nfrom fmae_edge.cli import main\nsys.argv = ['fmae-edge', 'compress', 'img.png']\nmain()\n"
        "print(*{'typer', 'rich', 'pydantic', 'torch', 'PIL'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.startswith("img.png -> img.npy")
    assert done.stdout.endswith("\n\n")


@pytest.mark.parametrize("extra", [[], ["--precision", "int8"]])
def test_a_reader_that_closes_the_pipe_ends_it_silently(tmp_path, images, extra):
    """`fmae-edge compress *.png | head -1`, on the fast path and with Typer."""
    import subprocess

    from PIL import Image

    for index in range(1000):
        Image.fromarray(images[index % 256]).save(tmp_path / f"{index}.png")
    code = "from fmae_edge.cli import main; main()"
    names = [f"{index}.png" for index in range(1000)]
    running = subprocess.Popen(
        [sys.executable, "-u", "-c", code, "compress", *names, *extra],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    running.stdout.close()
    assert running.stderr.read() == b""
    assert running.wait() == 1
    assert len(list(tmp_path.glob("*.npy"))) < 1000
