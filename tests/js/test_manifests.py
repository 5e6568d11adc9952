"""JavaScript accepts the manifests that Python accepts, with the same bundle ids, and refuses all others."""

import base64
import copy
import json
import math
import random

from fmae_edge import BundleError
from fmae_edge.runtime.bundle.built_in import built_in_folder, built_in_names
from fmae_edge.runtime.bundle.manifest import MANIFEST_NAME, Manifest
from tests.js.node import needs_node, run_node
from tests.manifest_changes import checksum_of

pytestmark = needs_node
DEFAULT, *_ = TEXTS = [(built_in_folder(name) / MANIFEST_NAME).read_bytes() for name in built_in_names()]
# Each is put in place of every value of a manifest, and added to every object
VALUES = [
    *(None, True, "", "x", [], {}, [[]], {"size": 1, "sha256": "0" * 64}),
    *(0, 1, 9, 28, 4096, 4097, 65536, -1, 2**26, 2**30, 2**53 + 1, 10**19, -(10**18), 10**20 - 1),
    *(0.0, -0.0, 1.0, 28.0, 3.0, 1e-38, 9e-39, 1e-5, 1e-4, 0.5, 1e16, 1e24, 1.1e24, 1e36, 1.1e36, 1.7e308, 5e-324),
    *(
        200.0,
        200.1,
        -200.0,
        123456789012345680.0,
        'ü\u2028\x7f\x00"\\/\U0001f600\ud800',
        "0" * 64,
        "0" * 64 + "\n",
    ),
]


def verdicts(texts):
    """Return for each text the bundle id in JavaScript, or its error."""
    lines = "".join(base64.b64encode(text).decode() + "\n" for text in texts)
    return [json.loads(line) for line in run_node("manifest_verdicts.js", lines).splitlines()]


def require_same(texts):
    """Compare what Python and JavaScript make of each text. Return how many both accept and refuse."""
    accepted = 0
    for text, verdict in zip(texts, verdicts(texts), strict=True):
        try:
            bundle_id = Manifest.from_json(text, "here").bundle_id
        except BundleError as error:
            assert verdict.get("error") == "BundleError", (text[:500], str(error), verdict)
            assert verdict["message"].startswith("here: ")
        else:
            assert verdict == {"bundleId": bundle_id}, text[-500:]
            accepted += 1
    return accepted, len(texts) - accepted


def with_checksum(manifest):
    return json.dumps({**manifest, "checksum": checksum_of(manifest)}).encode()


def places(value, path=()):
    """Yield the path of every value in a manifest, and of a new key of each object; of lists, the first item."""
    if path:
        yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
        yield (*path, "new-1")
    elif isinstance(value, list) and value:
        yield from places(value[0], (*path, 0))


def test_ids_of_the_built_in_bundles():
    assert verdicts(TEXTS) == [{"bundleId": Manifest.from_json(text, "here").bundle_id} for text in TEXTS]


def test_any_value_in_any_place():
    manifest = json.loads(DEFAULT)
    manifest["record"] = {"a": [1, 2.5], "b": {}}
    texts = []
    for path in places(manifest):
        for value in (*VALUES, ...):
            changed = copy.deepcopy(manifest)
            *parents, last = path
            target = changed
            for key in parents:
                target = target[key]
            if value is not ...:
                target[last] = value
            elif isinstance(target, dict):
                target.pop(last, None)
            texts.append(with_checksum(changed))
    accepted, refused = require_same(texts)
    assert min(accepted, refused) > 100


def test_lengths_at_their_limits():
    texts = []
    for count in (0, 1, 16383, 16384, 65536, 65537):
        for coded in (True, False):
            manifest = json.loads(DEFAULT)
            manifest["latent"]["steps"] = [0.5] * count
            if not coded:
                del manifest["qualities"]
            texts.append(with_checksum(manifest))
    for name in ("steps", "bit_costs", "contrast_floors"):
        for change in (lambda values: values[:8], lambda values: [*values, values[0]], lambda values: {}):
            manifest = json.loads(DEFAULT)
            manifest["qualities"][name] = change(manifest["qualities"][name])
            texts.append(with_checksum(manifest))
    assert require_same(texts) == (6, 15)


def test_canonical_json_of_any_float():
    drawn = random.Random(0)
    floats = [drawn.uniform(-1, 1) * 10.0 ** drawn.randint(-320, 308) for _ in range(3000)]
    floats += [float(f"{digits}e{power}") for digits in (1, 1.5, 9.999999999999999) for power in range(-25, 25)]
    floats += [math.nextafter(10.0**power, end) for power in range(-8, 20) for end in (0, math.inf)]
    floats += [float(drawn.randint(-(2**60), 2**60)) for _ in range(300)]
    manifest = json.loads(DEFAULT)
    manifest["record"] = {"floats": floats}
    text = with_checksum(manifest)
    assert require_same([text]) == (1, 0)


def test_forms_of_json_that_a_writer_rarely_chooses():
    manifest = json.loads(DEFAULT)
    keys = ["a", "\U0001f600", "\uffff", "\ud800", "", "__proto__", "constructor", "a\U0001f600", "toString"]
    manifest["record"] = dict.fromkeys(keys, 1)
    text = with_checksum(manifest).decode()
    inner = '{"__proto__": [1], "deep": %s}'
    nested = []
    for levels in (29, 30, 31, 32, 200, 100_000):
        for value in ("1", "1.0", "", '"x"', "{}"):
            deep = manifest | {"record": {"deep": None}}
            record = inner % ("[" * levels + value + "]" * levels)
            if levels <= 200:
                deep["record"] = json.loads(record)
            nested.append(with_checksum(deep).decode() if levels <= 200 else text[:-1] + f', "deep": {record}}}')
    raw = [
        text,
        *(text.replace(" ", space) for space in ("", "\n", "\t", "\r", "\x0b", "\xa0")),
        *(f"\ufeff{text}", f"{text} x", f"{text},", text[:-1], f"[{text}]", f" {text}\n"),
        *(
            text[:-1] + f', "format_version": {other}}}'
            for other in ("3", "3.0", "4", "03", "+3", "-3", "3e0", "0x3")
        ),
        *(
            text[:-1] + f', "new": {other}}}'
            for other in ("NaN", "-Infinity", "1e999", "01", "1.", ".5", "'x'", "tru")
        ),
        *(text.replace('"name"', name) for name in ('"n\\u0061me"', '"n\\u00g1me"', '"n\\x61me"', '"n\name"')),
        *nested,
    ]
    texts = [*(each.encode() for each in raw), text.encode("utf-16"), text.encode("utf-32-le")]
    texts += [
        json.dumps({**json.loads(text), "name": "\ud800"}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    ]
    texts += [b"", b"null", b'"x"', b"\xff", b"{}", b"[" * 100_000, b"3" * 100_000, text.encode() + b"\x00"]
    accepted, refused = require_same(texts)
    assert accepted > 10
    assert refused > 30
