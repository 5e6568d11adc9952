"""Change manifests, priors and bundles, and then correct their hashes and lengths.

A random change of a bundle fails the check of its hash, so no other code is reached. An attacker computes hashes
too, so most changed files are repaired here. One in eight is not repaired, to test the checks themselves.
"""

import io
import json
import zipfile
from collections.abc import Callable
from random import Random
from typing import Any

from fmae_edge.runtime.bundle.manifest import (
    MANIFEST_NAME,
    PRIOR_NAME,
    QUALITIES,
    FileEntry,
    Manifest,
    Qualities,
    manifest_checksum,
)

Change = Callable[[bytes], bytes]
Mutator = Callable[[bytes, Change, Random], bytes]

_LENGTH_BYTES = 8  # of a safetensors file's header
_SOME_TIME = (1980, 1, 1, 0, 0, 0)  # a fixed time, so that the same files give the same bytes
_ODD_VALUES: tuple[Any, ...] = (
    *(None, True, 0, 1, -1, 64, 4096, 1 << 31, 1 << 64, 10**400),
    *(0.0, -0.0, 0.5, 1e-45, 1e308, float("inf"), float("nan")),
    *("", "x", "\0", "\ud800", "é", "../x", "0" * 64, [], {}, [[]], [1], {"": []}),
)


def mutate_bytes(content: bytes, change: Change, random: Random) -> bytes:  # noqa: ARG001
    """Change bytes, without repairs."""
    return change(content)


def repaired(repair: Callable[[bytes], bytes], mutate: Mutator = mutate_bytes) -> Mutator:
    """Return a mutator that runs `mutate`, and then `repair` in seven of eight calls."""

    def mutate_and_repair(content: bytes, change: Change, random: Random) -> bytes:
        changed = mutate(content, change, random)
        return repair(changed) if random.randrange(8) else changed

    return mutate_and_repair


def repair_manifest(content: bytes) -> bytes:
    """Return the text of a manifest with the checksum of its present content."""
    try:
        manifest = json.loads(content)
        manifest["checksum"] = manifest_checksum(manifest)
        return _dump(manifest)
    except (ValueError, AttributeError, TypeError, RecursionError):  # not JSON, or not an object
        return content


def mutate_json(content: bytes, change: Change, random: Random) -> bytes:
    """Change one value, or sometimes the text, which is rarely JSON afterwards."""
    if random.randrange(16) == 0:
        return change(content)
    try:
        return _dump(_changed_value(json.loads(content), change, random))
    except (ValueError, RecursionError):
        return change(content)


def _dump(value: Any) -> bytes:
    """Return JSON with a number that is too large instead of infinity, which JSON does not have."""
    return json.dumps(value).replace("Infinity", "1e999").encode()


def _changed_value(value: Any, change: Change, random: Random) -> Any:
    if isinstance(value, dict | list) and value and random.randrange(32):
        parts = value.copy()
        key = random.choice(list(parts)) if isinstance(parts, dict) else random.randrange(len(parts))
        if random.randrange(16) == 0:
            del parts[key]
        else:
            parts[key] = _changed_value(parts[key], change, random)
        return parts
    if random.randrange(32) == 0:  # up to Python's recursion limit, which depends on the reader
        for _ in range(random.randrange(1000)):
            value = [value]
        return value
    if random.randrange(2):
        try:
            return json.loads(change(json.dumps(value).encode()))
        except ValueError:
            pass
    return random.choice(_ODD_VALUES)


def mutate_safetensors(content: bytes, change: Change, random: Random) -> bytes:
    """Change the bytes, or one value in the header."""
    end = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    if random.randrange(2) or end > len(content):
        return change(content)
    header = mutate_json(content[_LENGTH_BYTES:end], change, random)
    return len(header).to_bytes(_LENGTH_BYTES, "little") + header + content[end:]


def zip_bundle(files: dict[str, bytes]) -> bytes:
    """Return the files of a bundle as one uncompressed zip file, which `unzip` can unpack."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as folder:
        for name, content in files.items():
            folder.writestr(zipfile.ZipInfo(name, _SOME_TIME), content)
    return stream.getvalue()


def unzip_bundle(content: bytes) -> dict[str, bytes]:
    """Return the files in the result of `zip_bundle`, or none for other bytes: libFuzzer starts with no bytes."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as folder:
            return {name: folder.read(name) for name in folder.namelist()}
    except zipfile.BadZipFile:
        return {}


def mutate_bundle(content: bytes, change: Change, random: Random) -> bytes:
    """Change one file of a zipped bundle, and correct the manifest in seven of eight calls."""
    files = unzip_bundle(content)
    if not files:
        return content
    name = random.choice(list(files))
    if random.randrange(64) == 0 and len(files) > 1:
        del files[name]
    elif name == MANIFEST_NAME:
        files[name] = mutate_json(files[name], change, random)
    elif name.endswith(".safetensors"):
        files[name] = mutate_safetensors(files[name], change, random)
    elif name.endswith(".onnx"):
        from fuzz.graph_mutator import mutate_graph  # imported here, because onnx takes a second to import

        files[name] = mutate_graph(files[name], change, random)
    else:
        files[name] = change(files[name])
    return zip_bundle(repair_bundle(files) if random.randrange(8) else files)


def repair_bundle(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files of a bundle with a manifest that has the size and hash of each file."""
    try:
        manifest = json.loads(files[MANIFEST_NAME])
        for name, content in files.items():
            if name != MANIFEST_NAME:
                entry = FileEntry.of(content)
                manifest["files"][name] = {"size": entry.size, "sha256": entry.sha256}
        manifest["checksum"] = manifest_checksum(manifest)
        return files | {MANIFEST_NAME: _dump(manifest)}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):  # the manifest itself was changed
        return files


def with_manifest(files: dict[str, bytes], latents: int, side: int, channels: int = 1) -> dict[str, bytes]:
    """Return the files of a bundle with a manifest for `side` x `side` images and `latents` latents."""
    steps = tuple(range(QUALITIES, 0, -1))
    manifest = Manifest(
        name="small",
        image_channels=channels,
        image_height=side,
        image_width=side,
        latent_steps=(0.5,) * latents,
        files={name: FileEntry.of(content) for name, content in files.items()},
        record={"quantisation": {"int8_target": "avx2"}},
        qualities=Qualities(0.01, steps, (0.001,) * QUALITIES) if PRIOR_NAME in files else None,
    )
    return {MANIFEST_NAME: manifest.to_json().encode(), **files}
