"""Write docs/commands.md, the reference of the command line: `python scripts/make_commands.py`.

Typer makes the page from the help of the commands. This script turns examples into code blocks and puts the
complete first sentence of each command into the list.
"""

import re
from pathlib import Path

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

from fmae_edge.cli import build_app

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"
_INTRODUCTION = """\
<!-- Written by `python scripts/make_commands.py` from the commands' own help. -->

"""


def reference() -> str:
    """Return the page."""
    group = get_command(build_app())
    with typer.Context(group, info_name="fmae-edge") as context:
        page = get_docs_for_click(obj=group, ctx=context, name="fmae-edge", title="fmae-edge: the commands")
    page = re.sub(r"\x08\n(Example:)\n((?:  .+\n)+)", _example, page)
    for name, command in group.commands.items():
        sentence = (command.help or "").partition("\n")[0]
        page = re.sub(rf"^\* `{name}`: .*$", f"* [`{name}`](#fmae-edge-{name}): {sentence}", page, flags=re.M)
    return _INTRODUCTION + page.rstrip() + "\n"


def _example(match: re.Match[str]) -> str:
    lines = "".join(f"{line.strip()}\n" for line in match[2].splitlines())
    return f"{match[1]}\n\n```sh\n{lines}```\n"


if __name__ == "__main__":
    PAGE.write_text(reference())
