"""The table of docs/platforms.md: what was found on each CPU, in Markdown."""

from collections.abc import Iterable

from tests.platforms.cpus import Cpu, CpuOutcome

_HEADINGS = (
    "CPU (model of QEMU)",
    "Debian, Python",
    "numpy, onnxruntime",
    "golden tests",
    "symbols read wrong",
    "other int8 pixels",
    "self-tests",
    "files written there",
)


def heading() -> str:
    """Return the first two lines of the table."""
    return f"{_line(_HEADINGS)}\n{_line('---' for _ in _HEADINGS)}"


def row_without_root(cpu: Cpu, why: str) -> str:
    """Return the row of a CPU for which there is no root file system."""
    return _line([_name(cpu), f"not run: {why}", *("" for _ in _HEADINGS[2:])])


def row(outcome: CpuOutcome) -> str:
    """Return the row of a CPU."""
    facts = outcome.facts
    if not facts:
        return row_without_root(outcome.cpu, "the comparison fails")
    cells = [
        _name(outcome.cpu),
        f"{outcome.release}, {facts['python']}",
        f"{facts['numpy']}, {facts.get('onnxruntime', 'none')}",
        outcome.golden_tests.split(" in ")[0],
        f"{facts['wrong_symbols']} of {facts['symbols']:,}",
    ]
    if outcome.without_graphs:
        return _line([*cells, f"not run: {outcome.without_graphs}", "not run", "not run"])
    pixels = f"{facts['other_pixels']:,} of {facts['pixels']:,}"
    if facts["other_pixels"]:
        pixels += f", by up to {facts['most_levels']}"
    files = f"{facts['files'] - facts['other_files']} of {facts['files']} identical"
    if facts["other_symbols"]:
        files += f", {facts['other_symbols']:,} of {facts['symbols']:,} symbols differ"
    return _line([*cells, pixels, facts["self_test_fails"] or "passed", files])


def _name(cpu: Cpu) -> str:
    return f"{cpu.name} ({cpu.model})" if cpu.model else cpu.name


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
