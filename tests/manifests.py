"""Change manifests of bundles as an attacker would."""

import json

from fmae_edge.runtime.bundle.manifest import MANIFEST_NAME, _checksum


def rewrite(bundle, change, checksum=True):
    """Change the manifest of a bundle. `checksum` tells whether to make its checksum fit the new content."""
    path = bundle / MANIFEST_NAME
    content = json.loads(path.read_text())
    change(content)
    if checksum:
        content["checksum"] = _checksum(content)
    path.write_text(json.dumps(content))
