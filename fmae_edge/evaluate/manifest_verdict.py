"""Keep the verdict of an evaluation in the manifest of its bundle."""

import json
from pathlib import Path
from typing import Any

from fmae_edge.runtime.atomic_write import write_file
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, MAX_MANIFEST_BYTES, read_bundle
from fmae_edge.runtime.bundle.manifest import MANIFEST_NAME, manifest_checksum
from fmae_edge.runtime.errors import OutputError


def keep_verdict(bundle: Path, bundle_id: str, verdict: dict[str, Any]) -> None:
    """Write `verdict` to the record in the manifest of the bundle in a folder, with a new checksum.

    The file is replaced at once. All other fields stay, and with them the bundle id. Raises OutputError if it
    cannot be written, if the folder now has another bundle, or if it is the built-in one; BundleError if it is
    damaged.
    """
    if bundle.resolve() == DEFAULT_BUNDLE.resolve():
        raise OutputError(f"{bundle}: is the built-in bundle, which is not changed")
    read = read_bundle(bundle, only=())
    if read.manifest.bundle_id != bundle_id:
        raise OutputError(f"{bundle}: now has another bundle than the one that was measured")
    path = bundle / MANIFEST_NAME
    content = json.loads(path.read_bytes())
    content["record"]["verdict"] = verdict
    content["checksum"] = manifest_checksum(content)
    changed = (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()
    if len(changed) > MAX_MANIFEST_BYTES:
        raise OutputError(f"{path}: would have more than {MAX_MANIFEST_BYTES} bytes with the verdict")
    write_file(path, changed, force=True)
