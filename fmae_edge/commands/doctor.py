"""`fmae-edge doctor`: the facts that a bug report needs."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from fmae_edge.commands.console import format_table, json_line, print_line, printable
from fmae_edge.commands.options import BundleArgument, Json


def doctor(bundle: BundleArgument = None, json: Json = False) -> None:
    """Show versions and the machine, and test a bundle on it.

    Prints the facts that a bug report needs: versions, CPU, threads, onnxruntime, the bundle, and a self-test with
    the golden vectors of the bundle. Exits with 1 if the bundle is incomplete or the self-test fails.

    Example: fmae-edge doctor --json > report.json
    """
    from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE

    report = diagnose(bundle or DEFAULT_BUNDLE)
    if json:
        print_line(json_line(report))
    else:
        parts = {part: found for part, found in report.items() if isinstance(found, Mapping)}
        print_line("\n".join(line for part, found in parts.items() for line in (part, *_lines(found))))
    if not report["healthy"]:
        raise typer.Exit(1)


def diagnose(path: Path) -> dict[str, Any]:
    """Return facts about this machine and the bundle in folder `path` as JSON values."""
    parts = {
        "versions": _versions(),
        "machine": _machine(),
        "onnxruntime": _onnxruntime(),
        **diagnose_bundle(path),
    }
    problems = [found["problem"] for found in parts.values() if "problem" in found]
    return {**parts, "problems": problems, "healthy": not problems}


def diagnose_bundle(path: Path) -> dict[str, dict[str, Any]]:
    """Return facts about the bundle in folder `path` and the result of its self-test, each perhaps a `problem`."""
    from fmae_edge.runtime.bundle.bundle import read_bundle
    from fmae_edge.runtime.errors import FmaeError
    from fmae_edge.runtime.self_test import self_test

    try:
        bundle = read_bundle(path)
    except FmaeError as error:
        return {"bundle": {"folder": str(path), "problem": str(error)}}
    found = {
        "folder": str(path),
        "name": bundle.manifest.name,
        "bundle_id": bundle.manifest.bundle_id,
        "manifest_sha256": bundle.sha256,
        "files": {name: entry.sha256 for name, entry in bundle.manifest.files.items()},
        **_int8_graphs(bundle.manifest.record),
    }
    try:
        checks = self_test(path)
    except FmaeError as error:
        return {"bundle": found, "self-test": {"problem": str(error)}}
    if not checks:
        return {"bundle": found, "self-test": {"result": "none: the bundle has no golden vectors"}}
    failed = ", ".join(check.name for check in checks if not check.passed)
    problem = {"problem": f"the self-test fails: {failed}"} if failed else {}
    return {"bundle": found, "self-test": {"checks": [asdict(check) for check in checks], **problem}}


def _versions() -> dict[str, Any]:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from fmae_edge import __version__

    found = {"fmae-edge": __version__, "python": platform.python_version()}
    for package in ("numpy", "onnxruntime", "pillow", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _machine() -> dict[str, Any]:
    import platform

    from fmae_edge.runtime.engine.cpus import choose_threads, cpu_name, dot_products
    from fmae_edge.runtime.errors import FmaeError

    dots = ", ".join(dot_products()) or "none"
    found: dict[str, Any] = {"system": platform.platform(), "cpu": cpu_name(), "int8_dot_products": dots}
    try:
        threads, why = choose_threads()
    except FmaeError as error:
        return {**found, "problem": str(error)}
    return {**found, "threads": threads, "threads_because_of": why}


def _onnxruntime() -> dict[str, Any]:
    import os
    from importlib.metadata import distributions

    from fmae_edge.runtime.engine.sessions import load_onnxruntime
    from fmae_edge.runtime.errors import FmaeError

    names = {str(package.metadata["Name"]).lower() for package in distributions()}
    packages = sorted(name for name in names if name.startswith("onnxruntime") and "extensions" not in name)
    found: dict[str, Any] = {"packages": ", ".join(packages) or "none"}
    if len(packages) > 1:  # they share a folder, and the last one installed wins
        found["problem"] = f"{len(packages)} packages of onnxruntime overwrite each other: uninstall all but one"
    try:
        ort = load_onnxruntime()
    except FmaeError as error:
        return {**found, "problem": str(error)}
    telemetry = "off" if os.environ["ORT_DISABLE_TELEMETRY"] == "1" else "left on by ORT_DISABLE_TELEMETRY"
    return {**found, "providers": ", ".join(ort.get_available_providers()), "telemetry": telemetry}


def _int8_graphs(record: Mapping[str, Any]) -> dict[str, str]:
    from fmae_edge.runtime.engine.cpus import may_saturate

    quantisation = record.get("quantisation", {})
    target = quantisation.get("int8_target", "unknown") if isinstance(quantisation, dict) else None
    if not isinstance(target, str):  # anyone may write the record; `export` writes a string
        return {"problem": f"the manifest has an invalid record of the quantisation: {quantisation!r:.80}"}
    saturation = "may saturate" if may_saturate(target) else "no saturation"
    return {"int8_graphs": f"for {target}, {saturation} on this CPU"}


def _lines(found: Mapping[str, Any]) -> list[str]:
    """Return the lines of one part of the report."""
    lines = []
    for name, value in found.items():
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
