"""Run the shell blocks of pages and paste their output: `python scripts/run_blocks.py docs/tutorial.md`.

In a `sh` block each line is a command. In a `console` block a command follows `$ `, and the lines after it are its
output. Commands run in a copy of the repository, in an environment without fmae-edge until they install it. Its
dependencies come from the environment of this Python. A command that ran before is not run again.
"""

import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
# A test runs these blocks, so it would run itself
LEFT_OUT = ("make test",)
_BLOCK = re.compile(r"```(sh|console)\n(.*?)```", re.S)


@dataclass(frozen=True)
class Step:
    """A command of a page, and the output that the page shows: None if it shows no output."""

    command: str
    output: str | None


def steps(page: str) -> Iterator[Step]:
    """Yield the commands of a page's shell blocks, in order."""
    for kind, block in _BLOCK.findall(page):
        if kind == "console":
            for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
                command, _, output = part.partition("\n")
                yield Step(command, output)
        elif "<<" in block:  # a here-document has several lines
            yield Step(block, None)
        else:
            yield from (Step(command, None) for line in block.splitlines() if (command := _uncommented(line)))


def _uncommented(line: str) -> str:
    return re.sub(r"(^|\s+)# .*$", "", line).rstrip()


def shape(output: str) -> str:
    """Return the part of an output that is the same on every machine: no numbers, ids, paths or spaces."""
    output = re.sub(r"^fitting the prior: .*\n", "", output, flags=re.M)  # one every 20 seconds
    output = re.sub(r"\b[0-9a-f]{16}\b|(?<=begins with )[0-9a-f]+", "ID", output)
    output = re.sub(r"(?<![\w.])[+-]?\d[\d.,]*(e[+-]?\d+)?", "N", output)
    output = re.sub(r"bfloat16 autocast|float32(?=\n)", "PRECISION", output)
    output = re.sub(r"/\S+", "PATH", output)
    return "\n".join(" ".join(line.replace("-", " ").split()) for line in output.splitlines()).strip()


@dataclass
class Shell:
    """A copy of the repository and a fresh environment in `folder`, and the commands that ran there."""

    folder: Path
    outputs: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tracked = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True).stdout
        for name in os.fsdecode(tracked).split("\0"):
            if name and (REPOSITORY / name).is_file():
                (self._copy / name).parent.mkdir(parents=True, exist_ok=True)
                (self._copy / name).write_bytes((REPOSITORY / name).read_bytes())
        venv.create(self._environment, with_pip=True)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        packages = self._environment / "lib" / version / "site-packages"
        lent = self.folder / "lent"
        lent.mkdir()
        for path in Path(sysconfig.get_path("purelib")).iterdir():
            if "fmae_edge" not in path.name and path.name not in ("pip", "__pycache__"):
                (lent / path.name).symlink_to(path)
        (packages / "lent.pth").write_text(f"{lent}\n")

    @property
    def _copy(self) -> Path:
        return self.folder / "fmae-edge"

    @property
    def _environment(self) -> Path:
        return self.folder / "environment"

    def run(self, command: str) -> str:
        """Return the output of a command, standard error included. Raises RuntimeError if it fails."""
        if command not in self.outputs:
            search = f"{self._environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
            done = subprocess.run(
                ["bash", "-e", "-o", "pipefail", "-c", command],
                cwd=self._copy,
                env={**os.environ, "PATH": search, "COLUMNS": "100"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            if done.returncode:
                raise RuntimeError(f"{command}: exit code {done.returncode}\n{done.stdout}")
            self.outputs[command] = done.stdout
        return self.outputs[command]


def with_outputs(page: str, shell: Shell) -> str:
    """Return the page with the current outputs in its console blocks."""

    def renew(match: re.Match[str]) -> str:
        lines = []
        for step in steps(match[0]):
            output = "" if step.command in LEFT_OUT else shell.run(step.command)
            lines.append(f"$ {step.command}\n{output}")
        return match[0] if match[1] == "sh" else f"```console\n{''.join(lines)}```"

    return _BLOCK.sub(renew, page)


def main() -> None:
    """Renew the pages whose paths are on the command line."""
    with tempfile.TemporaryDirectory() as name:
        shell = Shell(Path(name))
        for path in map(Path, sys.argv[1:]):
            path.write_text(with_outputs(path.read_text(), shell))


if __name__ == "__main__":
    main()
