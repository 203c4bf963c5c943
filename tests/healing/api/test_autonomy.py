import pytest

from config.cli import run as selfheal
from healing.models import Record
from tests.factories import make_playbook

from .conftest import problem, user

REASON = "watched it for a month"


@pytest.fixture
def medium():
    make_playbook("hard", impact="high")
    return make_playbook("add-workers", impact="medium", diagnoses=["elevated_errors", "latency_spike"])


def body(**changes):
    return {"playbook": "add-workers", "diagnosis": "elevated_errors", "days": 30, "reason": REASON, **changes}


def test_each_playbook_is_listed_for_each_of_its_diagnoses_with_its_record(reader, medium):
    Record.objects.create(playbook="add-workers", diagnosis="latency_spike", streak=5, held=5)
    rows = reader.get("autonomy", playbook="add-workers").json()["results"]
    assert [(row["diagnosis"], row["autonomous"], row["streak"]) for row in rows] == [
        ("elevated_errors", False, 0),
        ("latency_spike", True, 5),
    ]
    assert rows[0]["autonomy"] == "not earned yet, 0 of 5 held runs in a row"
    assert rows[1]["bound"] == pytest.approx(0.7528, abs=1e-4)


@pytest.mark.parametrize("days", ["30", True, 30.5, [30]])
def test_a_number_is_given_as_a_number(admin, medium, days):
    assert problem(admin.post("autonomy", body(days=days)), 400)["field"] == "days"


def test_an_admin_grants_and_revokes(admin, medium):
    row = admin.post("autonomy", body()).json()
    assert (row["autonomous"], row["granted_by"], row["granted_reason"]) == (True, admin.user.username, REASON)
    row = admin.post("autonomy", body(action="revoke")).json()
    assert (row["autonomous"], row["granted_until"]) == (False, None)
    problem(admin.post("autonomy", body(action="revoke")), 409)


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"days": 91}, 400, "days"),
        ({"days": "x"}, 400, "days"),
        ({"reason": ""}, 400, "reason"),
        ({"playbook": "nobody"}, 400, "playbook"),
        ({"diagnosis": "service_down"}, 400, "diagnosis"),
        ({"action": "give"}, 400, "action"),
        ({"level": "all"}, 400, "level"),
        ({"playbook": "hard", "diagnosis": "service_down"}, 403, None),
    ],
)
def test_a_grant_that_cannot_be_is_refused_and_names_the_field(admin, medium, changes, status, field):
    assert problem(admin.post("autonomy", body(**changes)), status).get("field") == field
    assert not Record.objects.exists()


def test_only_the_scope_admin_grants(approver, medium):
    assert "scope admin" in problem(approver.post("autonomy", body()), 403)["detail"]


def test_the_command_line_lists_grants_and_revokes(medium, capsys, monkeypatch):
    monkeypatch.delenv("SELF_HEAL_TOKEN", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    user("root", "admin")
    place = ["add-workers", "elevated_errors", "--reason", REASON]
    assert selfheal(["autonomy", "grant", *place]) == 1
    assert "--user NAME" in capsys.readouterr().err
    assert selfheal(["autonomy", "grant", *place, "--days", "7", "--user", "root"]) == 0
    assert "add-workers for elevated_errors: granted by a person until" in capsys.readouterr().out
    assert selfheal(["autonomy", "list"]) == 0
    assert "granted by a person until" in capsys.readouterr().out
    assert selfheal(["autonomy", "revoke", *place, "--user", "root"]) == 0
    assert "not earned yet" in capsys.readouterr().out
    assert selfheal(["autonomy", "grant", "hard", "service_down", "--reason", REASON, "--user", "root"]) == 1
    assert "high impact always needs a person" in capsys.readouterr().err
