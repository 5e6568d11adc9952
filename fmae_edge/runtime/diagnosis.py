"""Diagnose a machine: versions, CPU, threads, onnxruntime, the bundle, and whether its self-test passes."""

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fmae_edge.runtime.bundle.bundle import read_bundle
from fmae_edge.runtime.engine.cpu_model import cpu_name, dot_products, suitability
from fmae_edge.runtime.engine.cpus import choose_threads
from fmae_edge.runtime.engine.providers import Providers
from fmae_edge.runtime.engine.sessions import load_onnxruntime
from fmae_edge.runtime.errors import FmaeError
from fmae_edge.runtime.self_test import self_test
from fmae_edge.runtime.versions import onnxruntime_packages, versions


def diagnose(path: Path, providers: Providers = ()) -> dict[str, Any]:
    """Return facts about this machine and the bundle in folder `path` as JSON values.

    With `providers`, one more part has the results of the float32 graphs on them.
    """
    parts = {
        "versions": versions(),
        "machine": _machine(),
        "onnxruntime": _onnxruntime(),
        **diagnose_bundle(path),
    }
    if providers:
        parts["providers"] = _self_test(path, providers)
    problems = [facts["problem"] for facts in parts.values() if "problem" in facts]
    return {**parts, "problems": problems, "healthy": not problems}


def diagnose_bundle(path: Path) -> dict[str, dict[str, Any]]:
    """Return facts about the bundle in folder `path` and the result of its self-test.

    Each of the two has a `problem` if there is one.
    """
    try:
        bundle = read_bundle(path)
    except FmaeError as error:
        return {"bundle": {"folder": str(path), "problem": str(error)}}
    facts = {
        "folder": str(path),
        "name": bundle.manifest.name,
        "bundle_id": bundle.manifest.bundle_id,
        "manifest_sha256": bundle.sha256,
        "files": {name: entry.sha256 for name, entry in bundle.manifest.files.items()},
        **_int8_graphs(bundle.manifest.record),
    }
    return {"bundle": facts, "self-test": _self_test(path)}


def _self_test(path: Path, providers: Providers = ()) -> dict[str, Any]:
    on = ", ".join(name for name, _ in providers)
    asked = {"asked_for": on} if on else {}
    try:
        checks = self_test(path, providers)
    except FmaeError as error:
        return {**asked, "problem": str(error)}
    if not checks:
        return {**asked, "result": "none: the bundle has no golden vectors"}
    failed = ", ".join(check.name for check in checks if not check.passed)
    problem = {"problem": f"the self-test fails{f' on {on}' if on else ''}: {failed}"} if failed else {}
    return {**asked, "checks": [asdict(check) for check in checks], **problem}


def _machine() -> dict[str, Any]:
    dots = ", ".join(dot_products()) or "none"
    facts: dict[str, Any] = {"system": platform.platform(), "cpu": cpu_name(), "int8_dot_products": dots}
    try:
        threads, why = choose_threads()
    except FmaeError as error:
        return {**facts, "problem": str(error)}
    return {**facts, "threads": threads, "threads_because_of": why}


def _onnxruntime() -> dict[str, Any]:
    packages = onnxruntime_packages()
    facts: dict[str, Any] = {"packages": ", ".join(packages) or "none"}
    if len(packages) > 1:  # they share a folder, and the last one installed wins
        facts["problem"] = f"{len(packages)} packages of onnxruntime overwrite each other: uninstall all but one"
    try:
        ort = load_onnxruntime()
    except FmaeError as error:
        return {**facts, "problem": str(error)}
    telemetry = "off" if os.environ["ORT_DISABLE_TELEMETRY"] == "1" else "left on by ORT_DISABLE_TELEMETRY"
    facts["version"] = ort.__version__
    return {**facts, "providers": ", ".join(ort.get_available_providers()), "telemetry": telemetry}


def _int8_graphs(record: Mapping[str, Any]) -> dict[str, str]:
    quantisation = record.get("quantisation", {})
    target = quantisation.get("int8_target", "unknown") if isinstance(quantisation, dict) else None
    if not isinstance(target, str):  # the record is untrusted; `export` writes a string
        return {"problem": f"the manifest has an invalid record of the quantisation: {quantisation!r:.80}"}
    return {"int8_graphs": f"encoder.onnx and decoder.onnx are {suitability(target)}"}
