"""A key is revoked and attested by commands; the database, an export and a script with nothing of ours say the same of it."""

from __future__ import annotations

import json
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from config.cli import run
from healing.ledger import keys, seals, selectors
from healing.ledger.export import export
from healing.ledger.sequencer import Sequencer
from healing.models import LedgerEntry
from selfheal.__main__ import main

pytestmark = pytest.mark.django_db
SCRIPT = Path(__file__).parents[3] / "docs" / "how-to" / "verify_log.py"


@pytest.fixture
def rotated(grow, write, signer, settings, at, tmp_path) -> Callable[[], None]:
    """Entries 0 to 4 by `signer`, then another key; gives what sequences what waits."""
    settings.SELF_HEAL_HOME = tmp_path / "home"
    grow(5)
    keys.make_successor()
    sequencer = Sequencer()
    sequencer.look(at)
    return lambda: sequencer.look(at) and None


def test_a_revoked_key_makes_what_it_signed_fail_until_it_is_attested(rotated, signer, capsys):
    key = signer.verifier.key_id
    assert run(["log", "verify"]) == 0
    assert run(["log", "revoke", key, "--from", "3", "--reason", "laptop stolen"]) == 0
    rotated()
    assert seals.known()
    assert run(["log", "verify"]) == 1
    words = f"entries 3 to 4 are signed by key {key}, which entry 6 revokes from entry 3 on (laptop stolen)"
    assert f"✗ key: {words}, and no later key attests it" in capsys.readouterr().out
    leaf = json.loads(bytes(LedgerEntry.objects.get(index=6).leaf))
    assert (leaf["action"], leaf["resource"], leaf["subsystem"]) == ("log.revoked", f"key:{key}", "ledger")
    assert "(command line)" in leaf["actor"]
    assert LedgerEntry.objects.get(index=6).key_id != key
    assert run(["log", "attest", key, "--reason", "compared with the witness"]) == 0
    rotated()
    assert run(["log", "verify"]) == 0


def test_the_keys_that_are_served_say_what_is_revoked(rotated, signer):
    key = signer.verifier.key_id
    assert selectors.key_document()["retired"] == [{"vkey": signer.verifier.vkey, "since_index": 0}]
    run(["log", "revoke", key, "--from", "3", "--reason", "stolen"])
    rotated()
    revoked = {"from": 3, "entry": 6, "reason": "stolen", "attested": None}
    assert selectors.key_document()["retired"] == [{"vkey": signer.verifier.vkey, "since_index": 0, "revoked": revoked}]
    run(["log", "attest", key, "--reason", "compared"])
    rotated()
    assert selectors.key_document()["retired"][0]["revoked"]["attested"] == 7


@pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl here")
def test_an_export_says_the_same_to_our_package_and_to_a_script_without_it(rotated, signer, tmp_path, capsys):
    key = signer.verifier.key_id
    script = runpy.run_path(str(SCRIPT))["main"]
    run(["log", "revoke", key, "--from", "3", "--reason", "stolen"])
    rotated()
    vkey = selectors.key_document()["vkey"]
    export(tmp_path / "revoked")
    words = f"entries 3 to 4 are signed by key {key}, which entry 6 revokes from entry 3 on (stolen), and no later key attests it"
    assert main(["verify", str(tmp_path / "revoked")]) == 1
    assert f"key: {words}" in capsys.readouterr().out
    with pytest.raises(SystemExit) as refused:
        script([vkey, str(tmp_path / "revoked")])
    assert refused.value.code == words
    run(["log", "attest", key, "--reason", "compared"])
    rotated()
    export(tmp_path / "attested")
    assert main(["verify", str(tmp_path / "attested")]) == 0
    assert script([vkey, str(tmp_path / "attested")]) == 0


def test_the_script_believes_no_attestation_of_another_tree(rotated, signer, write, tmp_path):
    key = signer.verifier.key_id
    script = runpy.run_path(str(SCRIPT))["main"]
    run(["log", "revoke", key, "--from", "3", "--reason", "stolen"])
    said = {"key": key, "from": 3, "size": 5, "root": "AAAA", "reason": "forged"}
    write(1, action="log.attested", payload=said)
    rotated()
    export(tmp_path / "out")
    with pytest.raises(SystemExit, match="and no later key attests it"):
        script([selectors.key_document()["vkey"], str(tmp_path / "out")])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["revoke", "CURRENT", "--from", "6", "--reason", "x"],
            "so its own word would revoke it: `selfheal log rotate`",
        ),
        (["revoke", "deadbeef", "--from", "3", "--reason", "x"], "this log has no key 'deadbeef'; it has "),
        (["revoke", "OLD", "--from", "5", "--reason", "x"], "must be from 0 to 4"),
        (["revoke", "OLD", "--from", "3", "--reason", " "], "must say why"),
        (["attest", "OLD", "--reason", "x"], "is not revoked: what it signed counts"),
        (["revoke", "OLD", "--from", "3", "--reason", "x", "--user", "nobody"], "there is no active user 'nobody'"),
    ],
)
def test_what_cannot_be_revoked_is_refused_with_what_to_do(rotated, signer, arguments, words, capsys):
    named = {"CURRENT": keys.load().verifier.key_id, "OLD": signer.verifier.key_id}
    assert run(["log", *(named.get(each, each) for each in arguments)]) == 1
    assert words in capsys.readouterr().err


def test_what_is_revoked_already_is_not_revoked_again_but_from_an_earlier_entry_on_it_is(rotated, signer, capsys):
    key = signer.verifier.key_id
    assert run(["log", "revoke", key, "--from", "3", "--reason", "x"]) == 0
    rotated()
    assert run(["log", "revoke", key, "--from", "4", "--reason", "x"]) == 1
    assert "entry 6 revokes key" in capsys.readouterr().err
    assert run(["log", "revoke", key, "--from", "1", "--reason", "x"]) == 0
