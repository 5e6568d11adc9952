"""`fmae-edge doctor`."""

from collections.abc import Mapping
from typing import Any

import typer

from fmae_edge.commands.console import format_table, json_line, print_line, printable
from fmae_edge.commands.options import BundleArgument, Json, Providers


def doctor(bundle: BundleArgument = None, providers: Providers = None, json: Json = False) -> None:
    """Show versions and the machine, and test a bundle on it.

    Prints the facts that a bug report needs: versions, CPU, threads, onnxruntime, the bundle, and a self-test with
    the golden vectors of the bundle, with --provider on that execution provider too. Exits with 1 if the bundle is
    incomplete or a self-test fails.

    Example: fmae-edge doctor --json > report.json
    Example: fmae-edge doctor --provider openvino
    """
    from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE
    from fmae_edge.runtime.diagnosis import diagnose
    from fmae_edge.runtime.engine.providers import as_providers

    report = diagnose(bundle or DEFAULT_BUNDLE, as_providers(providers))
    if json:
        print_line(json_line(report))
    else:
        parts = {part: facts for part, facts in report.items() if isinstance(facts, Mapping)}
        print_line("\n".join(line for part, facts in parts.items() for line in (part, *_lines(facts))))
    if not report["healthy"]:
        raise typer.Exit(1)


def _lines(facts: Mapping[str, Any]) -> list[str]:
    """Return the lines of one part of the report."""
    lines = []
    for name, value in facts.items():
        if name == "checks":
            rows = [
                (f"  {each['name']}", "passed" if each["passed"] else "FAILED", each["found"], f"{each['ms']:.1f}")
                for each in value
            ]
            lines.append(format_table(("  golden vectors", "", "", "ms"), rows))
        elif isinstance(value, Mapping):
            lines.append(printable(f"  {name}: {', '.join(value)}: all match their SHA-256"))
        else:
            lines.append(printable(f"  {name.replace('_', ' ')}: {value}"))
    return lines
