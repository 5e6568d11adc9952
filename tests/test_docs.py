"""The pages are correct: commands run as printed, the command reference is current, links work."""

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.installed_data import needs_data

PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted(page for folder in ("docs", "spec") for page in (REPOSITORY / folder).rglob("*.md")),
]


def script(name):
    """Import a script from scripts/, which is not a package."""
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[name] = module  # dataclasses look up their module
    spec.loader.exec_module(module)
    return module


def test_the_command_reference_is_current():
    make_commands = script("make_commands")
    assert make_commands.PAGE.read_text() == make_commands.reference(), "run python scripts/make_commands.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_work(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        file, _, anchor = target.partition("#")
        if file.startswith("https://"):
            continue
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(), flags=re.M)
            assert anchor in [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]


def test_the_readme_is_short():
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= 100  # two screens


def test_outputs_are_compared_without_numbers_and_ids():
    shape = script("run_blocks").shape
    assert shape("a.png -> a.fmae  (28 bytes)\n") == shape("a.png -> a.fmae  (31 bytes)\n")
    assert shape("bundle 92c75aeaf1ef4bc4") == shape("bundle 02c75aeaf1ef4bc5")
    assert shape("a.png -> a.fmae") != shape("a.png -> b.fmae")
    assert shape("3 done") != shape("3 failed")


@pytest.mark.slow
def test_commands_of_the_readme_run_as_printed_up_to_the_training(tmp_path):
    run_blocks = script("run_blocks")
    page = (REPOSITORY / "README.md").read_text().split("## Train and export")[0]
    shell = run_blocks.Shell(tmp_path)
    commands = [step.command for step in run_blocks.steps(page) if step.command not in run_blocks.LEFT_OUT]
    assert len(commands) >= 8
    for command in commands:
        shell.run(command)


@pytest.mark.docs
@needs_data
def test_all_commands_of_the_readme_and_the_tutorial_run_as_printed(tmp_path):
    run_blocks = script("run_blocks")
    shell = run_blocks.Shell(tmp_path)
    ran = 0
    for page in ("README.md", "docs/tutorial.md"):
        for step in run_blocks.steps((REPOSITORY / page).read_text()):
            if step.command in run_blocks.LEFT_OUT:
                continue
            output = shell.run(step.command)
            ran += 1
            if step.output is not None:
                assert run_blocks.shape(output) == run_blocks.shape(step.output), step.command
    assert ran > 25


def test_pages_do_not_contain_paths_of_the_machine_that_wrote_them():
    tracked = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    for name in tracked.stdout.splitlines():
        assert not re.search(r"/(work|tmp|root|home)/", Path(REPOSITORY / name).read_text()), name
