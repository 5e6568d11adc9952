"""Check the JSON lines of a command against spec/output.schema.json."""

import json

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from tests.conftest import REPOSITORY

SCHEMA = json.loads((REPOSITORY / "spec/output.schema.json").read_text())
MANIFEST_SCHEMA = json.loads((REPOSITORY / "spec/manifest.schema.json").read_text())
FILES = Registry().with_resource("manifest.schema.json", Resource.from_contents(MANIFEST_SCHEMA))


def require_valid(command, output, lines):
    """Raise unless `output` has this number of valid `lines` of `command`; return the records."""
    records = [json.loads(line, parse_constant=pytest.fail) for line in output.splitlines()]
    assert len(records) == lines
    validator = Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/{command}"}, registry=FILES)
    for record in records:
        validator.validate(record)
    return records
