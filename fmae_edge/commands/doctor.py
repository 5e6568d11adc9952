"""`fmae-edge doctor`: the facts that a bug report needs."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from fmae_edge.commands.console import json_line, printable
from fmae_edge.commands.options import BundleArgument, Json


def doctor(bundle: BundleArgument = None, json: Json = False) -> None:
    """Show versions and the machine, and test a bundle on it.

    Prints what a bug report needs: versions, CPU, threads, onnxruntime, the bundle, and a self-test with the
    golden vectors of the bundle. Exits with 1 if the bundle is incomplete or the self-test fails.

    Example: fmae-edge doctor --json > report.json
    """
    from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE

    report = diagnose(bundle or DEFAULT_BUNDLE)
    if json:
        typer.echo(json_line(report))
    else:
        for part, found in report.items():
            _print(part, found)
    if not report["healthy"]:
        raise typer.Exit(1)


def diagnose(path: Path) -> dict[str, Any]:
    """Return facts about this machine and the bundle in folder `path` as JSON values."""
    report = {"versions": _versions(), "machine": _machine(), "onnxruntime": _onnxruntime(), **_bundle(path)}
    problems = [found["problem"] for found in report.values() if "problem" in found]
    return {**report, "problems": problems, "healthy": not problems}


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

    found: dict[str, Any] = {
        "system": platform.platform(),
        "cpu": cpu_name(),
        "int8_dot_products": ", ".join(dot_products()) or "none",
    }
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


def _bundle(path: Path) -> dict[str, dict[str, Any]]:
    from fmae_edge.runtime.bundle.bundle import read_bundle
    from fmae_edge.runtime.errors import FmaeError
    from fmae_edge.runtime.self_test import self_test

    where = {"folder": str(path)}
    try:
        bundle = read_bundle(path)
    except FmaeError as error:
        return {"bundle": {**where, "problem": str(error)}}
    found: dict[str, Any] = {
        **where,
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
    tested: dict[str, Any] = {"checks": [asdict(check) for check in checks]}
    failed = [check.name for check in checks if not check.passed]
    if failed:
        tested["problem"] = f"the self-test fails: {', '.join(failed)}"
    return {"bundle": found, "self-test": tested}


def _int8_graphs(record: Mapping[str, Any]) -> dict[str, str]:
    from fmae_edge.runtime.engine.cpus import may_saturate

    quantisation = record.get("quantisation", {})
    target = quantisation.get("int8_target", "unknown") if isinstance(quantisation, dict) else None
    if not isinstance(target, str):  # anyone may write the record; `export` writes a string
        return {"problem": f"the manifest has an invalid record of the quantisation: {quantisation!r:.80}"}
    return {
        "int8_graphs": f"for {target}, {'may saturate' if may_saturate(target) else 'no saturation'} on this CPU"
    }


def _print(part: str, found: object) -> None:
    from fmae_edge.commands.table import format_table

    if not isinstance(found, Mapping):  # `problems` and `healthy`, which summarise the parts
        return
    typer.echo(part)
    for name, value in found.items():
        if name == "checks":
            rows = [
                (
                    f"  {check['name']}",
                    "passed" if check["passed"] else "FAILED",
                    check["found"],
                    f"{check['ms']:.1f}",
                )
                for check in value
            ]
            typer.echo(format_table(("  golden vectors", "", "", "ms"), rows))
        elif isinstance(value, Mapping):
            typer.echo(printable(f"  {name}: {', '.join(value)}: all match their SHA-256"))
        else:
            typer.echo(printable(f"  {name.replace('_', ' ')}: {value}"))
