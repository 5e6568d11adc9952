"""`fmae-edge info`, and what a manifest that anyone may have written can make it print."""

import pytest

from tests.runtime.test_bundle import rewrite

EVIL = "evil\x1b[2J\x1b]0;owned\x07"


@pytest.mark.parametrize("command", ["info", "doctor"])
def test_a_manifest_cannot_steer_a_terminal(cli, bundle, command):
    def change(content):
        content["name"] = EVIL
        content["record"]["tools"] = {EVIL: EVIL}
        content["record"]["quality"] = {EVIL: next(iter(content["record"]["quality"].values()))}

    rewrite(bundle, change)
    done = cli(command, "bundle") if command == "info" else cli(command, bundle)
    assert "\x1b" not in done.stdout + done.stderr
    if command == "info":
        assert done.stdout.count(r"evil\x1b[2J") == 4


def test_a_figure_that_is_too_large_is_no_traceback(cli, bundle):
    rewrite(bundle, lambda content: content["record"]["training"]["metrics"][-1].update(test_mse=10**400))
    done = cli("info", "bundle")
    assert done.returncode == 1
    assert "the record in its manifest is incomplete" in done.stderr
