"""A witness on the other side of HTTP signs that the log goes on, and what it signed is verified, kept, served and exported."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rest_framework.test import APIClient

from config.cli import run
from healing.ledger import guards, pushing, selectors
from healing.ledger.export import export
from healing.models import LedgerCosignature, LedgerEntry, LedgerHead, LedgerKey, LedgerOutbox, LedgerPlace, LedgerTile, User
from selfheal.__main__ import main

from .outside_servers import SmallWitness, serving

pytestmark = pytest.mark.django_db
NAME = "witness.example.com/w1"


@pytest.fixture
def witness(signer, settings, tmp_path: Path) -> Iterator[SmallWitness]:
    settings.SELF_HEAL_HOME = tmp_path / "home"
    small = SmallWitness(signer.verifier.vkey)

    def answer(method: str, path: str, body: str) -> tuple[int, str, str]:
        return small.add_checkpoint(body) if (method, path) == ("POST", "/log/add-checkpoint") else (404, "text/plain", path)

    with serving(answer) as url:
        settings.SELF_HEAL_LOG_WITNESSES = [f"{small.signer.witness.vkey} {url}/log/"]
        yield small


def push(at: datetime) -> LedgerPlace:
    pushing.rows(at)
    row = pushing.push(NAME, at, now=True)
    assert row is not None
    return row


def test_a_witness_signs_for_each_head_that_goes_on(witness, grow, at):
    for size in (3, 300, 301):
        grow(size - selectors.size())
        row = push(at)
        assert (row.size, row.error) == (size, "")
        assert witness.size == size
    kept = LedgerCosignature.objects.get(head=300)
    assert (kept.witness, kept.key_id, kept.at) == (
        NAME,
        witness.signer.witness.key_id,
        datetime.fromtimestamp(witness.time, UTC),
    )
    assert witness.signer.witness.find_in(LedgerHead.objects.get(size=300).note + kept.line)


def test_without_a_new_head_nobody_is_asked_again(witness, grow, at):
    grow(3)
    push(at)
    push(at)
    assert witness.asked == 1


def test_what_the_witness_signed_and_we_have_forgotten_is_signed_again(witness, grow, at):
    grow(3)
    push(at)
    LedgerCosignature.objects.all().delete()
    LedgerPlace.objects.all().delete()
    assert push(at).error == ""
    assert LedgerCosignature.objects.count() == 1
    grow(5)
    LedgerPlace.objects.update(size=0)
    assert push(at).error == ""
    assert witness.size == 8


@pytest.fixture
def rewrite(write, grow) -> Callable[[int], None]:
    """Another log of the same key."""

    def anew(length: int) -> None:
        guards.remove()
        for model in (LedgerCosignature, LedgerHead, LedgerEntry, LedgerTile, LedgerKey):
            model.objects.all().delete()
        guards.install()
        write(1, actor="mallory")
        grow(length - 1)

    return anew


@pytest.mark.parametrize(("length", "words"), [(4, "written anew"), (9, "written anew"), (2, "rolled back: it has 2 entries")])
def test_a_witness_refuses_a_log_that_was_written_anew_or_rolled_back(witness, grow, rewrite, at, length, words, tmp_path):
    grow(4)
    push(at)
    rewrite(length)
    LedgerPlace.objects.all().delete()  # whoever writes the database anew writes this anew too
    (file,) = (tmp_path / "home" / "pushed").iterdir()
    file.unlink()
    row = push(at)
    assert row.refused
    assert words in row.error
    assert witness.size == 4


def test_an_answer_that_does_not_fit_the_head_is_not_kept(witness, grow, at, monkeypatch):
    grow(3)
    other = witness.signer.cosign("another text\n", 1)
    monkeypatch.setattr(witness, "add_checkpoint", lambda body: (200, "text/plain", other))
    row = push(at)
    assert "does not fit the tree head" in row.error
    assert not row.refused
    assert not LedgerCosignature.objects.exists()


def test_a_witness_that_does_not_know_the_log_is_an_error_with_what_it_said(witness, grow, at, monkeypatch):
    grow(3)
    monkeypatch.setattr(witness, "add_checkpoint", lambda body: (404, "text/plain", "unknown log"))
    assert push(at).error == f"{NAME} answered 404: unknown log"


def test_the_checkpoint_that_is_served_has_the_lines_of_its_witnesses(witness, grow, at):
    grow(3)
    push(at)
    grow(2)
    api = APIClient()
    api.force_authenticate(User.objects.create_superuser("root"))
    assert witness.signer.witness.find_in(api.get("/api/log/checkpoint").content.decode()) is None
    note = api.get("/api/log/checkpoint?witnessed=true").content.decode()
    assert note.split("\n")[1] == "3"
    assert witness.signer.witness.find_in(note)
    assert api.get("/api/log/checkpoint?witnessed=maybe").status_code == 400


def test_an_export_and_a_proof_have_the_lines_of_the_witnesses(witness, grow, signer, at, tmp_path):
    grow(3)
    push(at)
    grow(2)
    proof = selectors.proof_text(1)
    assert witness.signer.witness.find_in(proof.partition("\n\n")[2]).time == witness.time
    assert "\n5\n" in selectors.proof_text(4)
    export(tmp_path / "out")
    notes = [json.loads(line)["note"] for line in (tmp_path / "out" / "heads.jsonl").read_text().splitlines()]
    assert [bool(witness.signer.witness.find_in(note)) for note in notes] == [True, False]
    vkey = witness.signer.witness.vkey
    assert main(["verify", str(tmp_path / "out")]) == 0
    assert main(["verify", str(tmp_path / "out"), vkey]) == 0


def test_an_export_whose_witness_signed_for_something_else_does_not_verify(witness, grow, at, tmp_path, capsys):
    grow(3)
    push(at)
    export(tmp_path / "out")
    line, wrong = LedgerCosignature.objects.get().line, witness.signer.cosign("another\n", 5)
    for name, spell in (("checkpoint", str), ("heads.jsonl", lambda text: json.dumps(text)[1:-1])):
        file = tmp_path / "out" / name
        file.write_text(file.read_text().replace(spell(line), spell(wrong)))
    assert main(["verify", str(tmp_path / "out"), witness.signer.witness.vkey]) == 1
    assert f"the head of size 3: the cosignature of {NAME}" in capsys.readouterr().out


def test_an_export_that_a_named_witness_has_not_signed_does_not_verify(witness, grow, tmp_path, capsys):
    grow(3)
    export(tmp_path / "out")
    assert main(["verify", str(tmp_path / "out"), witness.signer.witness.vkey]) == 1
    assert f"{NAME} has signed for no head of this log" in capsys.readouterr().out


def test_verify_says_who_has_signed_and_fails_if_a_line_does_not_fit(witness, grow, at, capsys):
    grow(3)
    push(at)
    assert run(["log", "verify"]) == 0
    assert f"{NAME} has signed for the head of 3 entries (2025-11-25 12:00:00 UTC)" in capsys.readouterr().out
    wrong = witness.signer.cosign("another\n", 5)
    LedgerCosignature.objects.update(line=wrong)
    assert run(["log", "verify"]) == 1
    assert f"witness: the head of size 3: the cosignature of {NAME}" in capsys.readouterr().out


def test_a_refusal_is_an_entry_and_wrong_in_the_doctor(witness, grow, rewrite, at, capsys):
    grow(4)
    push(at)
    rewrite(4)
    LedgerPlace.objects.update(note="", size=0)
    push(at)
    push(at)
    leaves = [json.loads(bytes(leaf)) for leaf in LedgerOutbox.objects.values_list("leaf", flat=True)]
    assert [(leaf["action"], leaf["resource"]) for leaf in leaves] == [("log.refused", f"place:{NAME}")]
    assert run(["log", "status"]) == 1
    assert "REFUSED" in capsys.readouterr().out
