"""A cycle is replayed from the ledger: signed, sequenced, equal to the tables, and still there when its row is not."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from django.utils import timezone

from config.cli import run as selfheal
from healing.ledger import keys, sequencer
from healing.ledger.verify import verify_database
from metafocus import loop
from metafocus.models import Cycle
from metafocus.replaying import replay_cycle
from selfheal.errors import Invalid
from tests.factories import make_incident, make_service

from .conftest import entries

pytestmark = pytest.mark.django_db


@pytest.fixture
def signed(settings: Any, tmp_path: Any) -> Cycle:
    """A cycle that saw something, in the log as the sequencer writes it."""
    at = timezone.now()
    settings.SELF_HEAL_HOME, settings.SELF_HEAL_SIGNING_KEY_FILE = tmp_path, tmp_path / "signing.key"
    db = make_service("db")
    make_incident(make_service("web", depends_on=[db]), at)
    make_incident(db, at)
    made = loop.cycle(at)
    assert made
    sequencer.sequence_once(keys.load(), at)
    return Cycle.objects.get()


def test_a_cycle_from_the_log_equals_the_tables(signed: Cycle) -> None:
    found = replay_cycle(signed.pk)
    assert found.index is not None
    assert found.leaf["payload"] == json.loads(json.dumps(signed.document()))
    assert found.agrees


def test_its_entry_is_signed_and_the_log_verifies(signed: Cycle) -> None:
    assert verify_database(lambda size: None).ok


@pytest.mark.parametrize(
    ("field", "value"),
    [("focus_area", "error_spike"), ("confidence", "0.10"), ("reasoning", []), ("guardrail_adjustment", "loosen")],
)
def test_each_field_that_was_changed_is_named(signed: Cycle, field: str, value: Any) -> None:
    Cycle.objects.update(**{field: value})
    found = replay_cycle(signed.pk)
    assert [difference.field for difference in found.differences] == [field]
    assert not found.agrees


def test_a_cycle_whose_row_is_gone_is_decided_again_from_its_entry(signed: Cycle) -> None:
    Cycle.objects.all().delete()
    found = replay_cycle(signed.pk)
    assert (found.kept, found.agrees) == (False, True)


def test_a_cycle_that_the_log_does_not_know_is_refused() -> None:
    with pytest.raises(Invalid, match="no entry about a cycle"):
        replay_cycle(uuid.uuid4())


def test_entries_of_others_are_not_taken_for_a_cycle(at: Any) -> None:
    entries(3, "run.failed", at)
    with pytest.raises(Invalid):
        replay_cycle(uuid.uuid4())


def test_the_command_line_replays_it(signed: Cycle, capsys: Any) -> None:
    assert selfheal(["log", "replay", str(signed.pk)]) == 0
    said = capsys.readouterr().out
    assert "dependency_health" in said
    assert "✓ the log and the tables agree" in said
    assert selfheal(["log", "replay", str(signed.pk), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["agrees"] is True
    Cycle.objects.update(focus_area="error_spike")
    assert selfheal(["log", "replay", str(signed.pk)]) == 1
    assert "focus_area" in capsys.readouterr().out


def test_an_id_of_nothing_says_what_is_listed_where(capsys: Any) -> None:
    assert selfheal(["log", "replay", str(uuid.uuid4())]) == 1
    assert "selfheal runs list" in capsys.readouterr().err
