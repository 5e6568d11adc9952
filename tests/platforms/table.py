"""The table of docs/platforms.md: what was found on each CPU."""

from collections.abc import Iterable

from tests.platforms.cpus import CpuOutcome

_HEADER = (
    "CPU (QEMU model)",
    "Debian, Python",
    "numpy, onnxruntime",
    "golden tests",
    "wrong symbols",
    "other int8 pixels",
    "self-test",
    "files written there",
)


def table(outcomes: Iterable[CpuOutcome]) -> str:
    """Return the outcomes as a table in Markdown."""
    rows = [_HEADER, ("---",) * len(_HEADER), *map(_row, outcomes)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(outcome: CpuOutcome) -> tuple[str, ...]:
    facts, cpu = outcome.facts, outcome.cpu
    first = (
        f"{cpu.name} ({cpu.model})" if cpu.model else cpu.name,
        f"{outcome.release}, {facts['python']}",
        f"{facts['numpy']}, {facts.get('onnxruntime', 'none')}",
        outcome.golden_tests.split(" in ")[0],
        f"{facts['wrong_symbols']} of {facts['symbols']:,}",
    )
    if outcome.without_graphs:
        return (*first, f"not run: {outcome.without_graphs}", "not run", "not run")
    pixels = f"{facts['other_pixels']:,} of {facts['pixels']:,}"
    if facts["other_pixels"]:
        pixels += f", by up to {facts['most_levels']} levels"
    same = facts["files"] - facts["other_files"]
    files = f"{same} of {facts['files']} identical"
    if facts["other_symbols"]:
        files += f"; {facts['other_symbols']:,} of {facts['symbols']:,} symbols differ"
    return (*first, pixels, facts["self_test_fails"] or "passed", files)
