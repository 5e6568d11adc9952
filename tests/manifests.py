"""Manifests of bundles, changed as someone would who wants to harm a reader."""

import json

from fmae_edge.runtime.bundle.manifest import MANIFEST_NAME, manifest_checksum


def rewrite(bundle, change, checksum=True):
    """Change the manifest of a bundle; `checksum` says whether its checksum fits the new content."""
    path = bundle / MANIFEST_NAME
    content = json.loads(path.read_text())
    change(content)
    if checksum:
        content["checksum"] = manifest_checksum(content)
    path.write_text(json.dumps(content))
