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
    parts = re.split(r"^(?=## `fmae-edge )", page, flags=re.M)
    listed = [_listed(parts[0], "fmae-edge", group)]
    for part, (name, command) in zip(parts[1:], group.commands.items(), strict=True):
        listed.append(_listed(part, f"fmae-edge-{name}", command))
    return _INTRODUCTION + "".join(listed).rstrip() + "\n"


def _listed(part: str, anchor: str, group: object) -> str:
    """Return the part of the page about a group of commands, whose list has their first sentences and links."""
    for name, command in getattr(group, "commands", {}).items():
        sentence = (command.help or "").partition("\n")[0]
        line = rf"^\* (?:`{name}`|\[`{name}`\]\(.*?\)): .*$"
        part = re.sub(line, f"* [`{name}`](#{anchor}-{name}): {sentence}", part, flags=re.M)
    return part


def _example(match: re.Match[str]) -> str:
    lines = "".join(f"{line.strip()}\n" for line in match[2].splitlines())
    return f"{match[1]}\n\n```sh\n{lines}```\n"


if __name__ == "__main__":
    PAGE.write_text(reference())
