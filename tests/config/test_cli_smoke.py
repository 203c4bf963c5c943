"""`selfheal smoke`, in this process: all is well, each part that is not, and a server far away."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from config.cli import api_checks, doctor, run, smoke
from config.cli.base import Failed
from healing import access, governance, heartbeats, ledger
from healing.ledger import guards, keys
from healing.ledger.sequencer import sequence_once
from healing.models import LedgerEntry, LedgerHead
from selfheal.findings import Finding
from tests.factories import make_incident, make_user

pytestmark = pytest.mark.django_db
Found = dict[str, dict[str, Any]]


@pytest.fixture(autouse=True)
def home(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation that is whole, but for a broker and a web process."""
    for name in ("SELF_HEAL_TOKEN", "SELF_HEAL_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(doctor, "_broker", lambda: Finding("broker", True, "there"))
    settings.EMBEDDED_BROKER_SOCKET = ""
    tmp_path.chmod(0o700)
    settings.SELF_HEAL_HOME, settings.SELF_HEAL_SIGNING_KEY_FILE = tmp_path, tmp_path / "signing.key"
    settings.SELF_HEAL_LOG_ORIGIN = ""
    return tmp_path


def beat() -> None:
    for role in heartbeats.ROLES:
        heartbeats.beat(role, role, timezone.now())


def write(count: int, ago: timedelta = timedelta()) -> None:
    with transaction.atomic():
        for number in range(count):
            ledger.append(actor="a", action="test.written", resource=f"thing:{number}", at=timezone.now() - ago)


@pytest.fixture
def whole() -> None:
    beat()
    make_incident()
    governance.control()
    write(3)
    signer = keys.load()
    while sequence_once(signer, timezone.now()):
        pass


@pytest.fixture
def smoked(capsys: pytest.CaptureFixture[str]) -> Callable[[], tuple[int, Found]]:
    def carry_out() -> tuple[int, Found]:
        status = run(["smoke", "--json"])
        return status, {row["what"]: row for row in json.loads(capsys.readouterr().out)}

    return carry_out


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what other tests here look at: a launch, and the shape of each answer."""
    monkeypatch.setattr(smoke, "_launcher", lambda: iter(()))
    monkeypatch.setattr(api_checks, "shapes", lambda server: "")


def rows() -> dict[str, int]:
    found = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT COUNT(*) FROM {connection.ops.quote_name(table)}")
            found[table] = cursor.fetchone()[0]
    return found


def test_where_everything_works_it_says_so_and_has_changed_nothing(whole: None, smoked: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(smoke, "ENDLESS_SECONDS", 0.1)
    before = rows()
    status, found = smoked()
    assert [row for row in found.values() if not row["ok"]] == []
    assert status == 0
    assert {"home", "signing key", "broker", "database", "migrations", "processes", "schema", "log order"} < found.keys()
    assert found["log"]["found"].endswith(" verify")
    assert found["program"]["found"] == "/bin/true ran under the launcher"
    assert found["bound"]["found"] == "/bin/sleep did not end within 0.1 s and was ended"
    assert rows() == before


def gone() -> None:
    heartbeats.forget("sequencer")


def waits() -> None:
    write(1, timedelta(minutes=2))


def changed() -> None:
    guards.remove()
    last = LedgerEntry.objects.first()
    LedgerEntry.objects.filter(pk=last.pk).update(leaf=bytes(last.leaf).replace(b'"thing:', b'"thinG:'))  # type: ignore[union-attr]
    guards.install()


def cut() -> None:
    guards.remove()
    LedgerEntry.objects.filter(pk=LedgerHead.objects.first().size - 1).delete()  # type: ignore[union-attr]
    guards.install()


@pytest.mark.parametrize(
    ("broken", "what", "says"),
    [
        (gone, "processes", "no sign of life: sequencer"),
        (waits, "log order", "a leaf waits for its index since"),
        (changed, "log", "has a signature that does not fit its index and leaf"),
        (cut, "log", "entries are missing between"),
        (guards.remove, "log guards", "ledger"),
    ],
)
def test_what_does_not_work_is_named_with_what_to_do(
    whole: None, quick: None, smoked: Any, broken: Callable[[], None], what: str, says: str
) -> None:
    broken()
    status, found = smoked()
    assert status == 1
    assert [name for name, row in found.items() if not row["ok"]] == [what]
    assert says in found[what]["found"]
    assert found[what]["mend"]


def test_what_does_not_work_says_where_to_read_what_to_do(whole: None, quick: None, smoked: Any, capsys: Any) -> None:
    gone()
    assert smoked()[1]["processes"]["page"] == "docs/how-to/when-it-is-down.md#processes"
    run(["smoke"])
    assert "what to do: docs/how-to/when-it-is-down.md#processes\n" in capsys.readouterr().out


def test_a_key_that_others_can_read_is_named(whole: None, quick: None, smoked: Any, home: Path) -> None:
    (home / "signing.key").chmod(0o644)
    assert smoked()[1]["signing key"]["mend"] == f"chmod 600 {home / 'signing.key'}"


def test_a_log_that_has_not_begun_is_said(quick: None, smoked: Any) -> None:
    beat()
    status, found = smoked()
    assert (status, found["log"]["found"]) == (1, "it shows no key, as a log that has not begun: there is nothing here")


def test_a_program_that_cannot_be_started_or_ended_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from healing import looking

    monkeypatch.setattr(looking, "take", lambda look: looking.Seen(True, False, "no process is to be had", "", {}))
    assert [finding.found for finding in smoke._launcher()] == [
        "/bin/true: no process is to be had",
        "/bin/sleep was to be ended after 0.5 s: no process is to be had",
    ]


@pytest.mark.django_db(transaction=True)
def test_with_a_token_it_asks_the_server_and_nothing_here(
    whole: None, live_server: Any, smoked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    access.ensure_roles(timezone.now())
    _, text = access.create_token(make_user("ann"), ["read"], timedelta(days=1), "", "test", timezone.now())
    monkeypatch.setenv("SELF_HEAL_TOKEN", text)
    monkeypatch.setenv("SELF_HEAL_BASE_URL", live_server.url)
    monkeypatch.setattr("healing.health._reach_broker", lambda: None)
    status, found = smoked()
    assert (status, list(found)) == (0, ["/healthz", "/readyz", "api", "log"])
    heartbeats.forget("beat")
    monkeypatch.setenv("SELF_HEAL_TOKEN", "sh_other")
    status, found = smoked()
    assert status == 1
    assert [name for name, row in found.items() if not row["ok"]] == ["/readyz", "api", "log"]
    assert found["/readyz"]["found"] == "not ready: beat"
    assert "scope read" in found["api"]["mend"]


def test_a_server_that_does_not_answer_has_failed_in_every_part(smoked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELF_HEAL_TOKEN", "sh_x")
    monkeypatch.setenv("SELF_HEAL_BASE_URL", "http://127.0.0.1:1")
    status, found = smoked()
    assert status == 1
    assert not any(row["ok"] for row in found.values())
    assert "http://127.0.0.1:1" in found["/healthz"]["mend"]


class Says:
    """A server whose only list answers as it is told."""

    remote = True

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def get(self, path: str, **_: Any) -> Any:
        declared = {"$ref": "#/components/schemas/Rows"}
        content = {"application/json": {"schema": declared}}
        needs_more = {"parameters": [{"name": "id", "in": "path", "required": True}], "responses": {}}
        rows = {
            "type": "object",
            "required": ["results"],
            "properties": {"next": {"type": "string", "nullable": True}, "results": {"type": "array"}},
        }
        document = {
            "paths": {"/rows": {"get": {"responses": {"200": {"content": content}}}}, "/rows/{id}": {"get": needs_more}},
            "components": {"schemas": {"Rows": rows}},
        }
        return document if path == "/api/schema" else self.answer

    def text(self, path: str) -> str:
        return ""

    def post(self, path: str, body: dict[str, Any]) -> Any:
        raise AssertionError("it only reads")


def test_an_answer_is_held_against_what_is_declared() -> None:
    assert api_checks.shapes(Says({"results": [], "next": None})) == "1 calls answer in their declared shape"


@pytest.mark.parametrize(
    ("answer", "says"),
    [({}, "GET /rows: $ 'results' is a required property"), ({"results": {}}, "GET /rows: $.results {} is not of type 'array'")],
)
def test_an_answer_of_another_shape_is_named(answer: Any, says: str) -> None:
    with pytest.raises(Failed) as raised:
        api_checks.shapes(Says(answer))
    assert str(raised.value) == says
