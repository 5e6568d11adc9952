"""Change the manifest of a bundle as an attacker would."""

import hashlib
import json

from fmae_edge.runtime.bundle.manifest import MANIFEST_NAME


def checksum_of(manifest):
    """Return the checksum of a manifest, as spec/bundle.md defines it: a hash of all else in canonical JSON."""
    rest = {key: value for key, value in manifest.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def rewrite(bundle, change, checksum=True):
    """Change the manifest of a bundle. With `checksum`, its checksum fits the new content."""
    path = bundle / MANIFEST_NAME
    content = json.loads(path.read_text())
    change(content)
    if checksum:
        content["checksum"] = checksum_of(content)
    path.write_text(json.dumps(content))
