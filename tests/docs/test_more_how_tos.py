"""Further how-tos that are carried out at the installation of `house`: what stops, backs up, decides, delivers."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from datetime import UTC, datetime, timedelta

import pytest
import requests

from tests.docs.pages import ROOT, blocks
from tests.docs.test_how_tos import LABELS, SERVICES, House, house
from tests.installation import Installation
from tests.processes import until

__all__ = ["house"]
pytestmark = [pytest.mark.soak, pytest.mark.xdist_group("how-tos")]


def test_events_and_samples_are_taken_as_the_page_sends_them(house: House) -> None:
    token, event, sample = blocks("how-to/connect-monitoring.md")
    assert house.do(token).startswith("sh_")
    now = f"{datetime.now(UTC) - timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}"
    instead = {"https://selfheal.internal": house.environment["SELF_HEAL_BASE_URL"], "2026-11-25T12:00:00Z": now}
    taken = json.loads(house.do(event, **instead))
    assert (taken["accepted"] + taken["unmatched"], taken["rejected"]) == (1, [])
    assert json.loads(house.do(sample, **instead))["rejected"] == []


def test_readyz_says_of_the_sandbox_what_the_page_says(house: House) -> None:
    (block,) = blocks("how-to/confine-commands.md")
    assert "sandbox" in json.loads(house.do(block, **{"http://localhost:8000": house.environment["SELF_HEAL_BASE_URL"]}))


def test_a_backup_is_made_and_put_back_as_the_page_says(house: House) -> None:
    make, restore, elsewhere = blocks("how-to/back-up.md")
    house.do(make)
    first, *rest = restore.splitlines()
    assert rest == ["selfheal up", "selfheal smoke"]
    with empty(house, "tried") as there:
        there.do(elsewhere, **{"/tmp/try": str(there.at.home)})
    with empty(house, "restored") as there:
        there.do(first)
        there.at.start()
        there.do(rest[1])


@contextmanager
def empty(house: House, name: str) -> Iterator[House]:
    """Another home and database, both empty, with the files of `house`; and its shell."""
    (house.folder / name).mkdir()
    with Installation(house.folder / name, SELF_HEAL_PLAYBOOK_DIRS=str(ROOT / "config/playbooks")) as installation:
        shutil.copytree(house.at.config, installation.config, dirs_exist_ok=True)
        there = copy(house)
        there.at, there.environment = installation, installation.shell()
        yield there


def test_a_playbook_is_checked_tried_and_taken_in_as_the_page_says(house: House) -> None:
    lint, test, sync, dry_run = blocks("how-to/write-a-playbook.md")
    shutil.copytree(ROOT / "config", house.folder / "config", dirs_exist_ok=True)
    for block in (lint, test, sync):
        house.do(block)
    assert "decision" in house.do(dry_run, **{"--target web-01": ""})


def test_what_was_learnt_is_judged_and_read_again_as_the_page_says(house: House) -> None:
    evaluate, rebuild = blocks("how-to/see-what-worked.md")
    house.do(evaluate)
    assert "entries read" in house.do(rebuild)


@pytest.fixture(scope="module")
def asked(house: House) -> list[str]:
    """Two requests that wait, and an approver and an admin named ann."""
    (house.at.config / "services.yaml").write_text(ASKING)
    house.do("selfheal services sync")
    house.at.run("user", "create", "ann", "--role", "admin")
    for name in ("first", "second"):
        alert = {"service": name, "target": name, "diagnosis": "service_down", "title": name, "severity": "high"}
        house.do(f"curl -sf -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' "
                 f"$SELF_HEAL_BASE_URL/api/self_heal/alerts -d '{json.dumps(alert)}'")  # fmt: skip
    address, header = f"{house.environment['SELF_HEAL_BASE_URL']}/api/self_heal/approvals?status=pending", house.bearer
    assert until(lambda: len(requests.get(address, headers=header, timeout=10).json().get("results", [])) == 2), house.at.output()
    return [row["id"] for row in requests.get(address, headers=header, timeout=10).json()["results"]]


ASKING = SERVICES + "".join(
    f"  - {{name: {name}, mode: ask, url: 'http://127.0.0.1:1', {LABELS}}}\n" for name in ("first", "second")
)


def test_people_answer_and_grant_as_the_page_says(house: House, asked: list[str]) -> None:
    answer, autonomy = blocks("how-to/say-who-decides.md")
    listed, shown, approved, rejected = answer.splitlines()
    house.do("\n".join([listed, shown, approved]), **{"6f9c…": asked[0]})
    house.do(rejected, **{"6f9c…": asked[1]})
    assert house.do("selfheal approvals list").strip() == "nothing waits for an answer"
    playbook = re.sub(r"add-workers elevated_errors", "restart-process service_down", autonomy)
    house.do(playbook.replace("grant restart-process service_down", "grant rotate-logs capacity_strain")
             .replace("revoke restart-process service_down", "revoke rotate-logs capacity_strain"))  # fmt: skip


def test_tokens_and_sessions_end_as_the_page_says(house: House, asked: list[str]) -> None:
    *_, people, tokens = blocks("how-to/secure-access.md")
    made, listed, revoked = tokens.splitlines()
    house.do(made)
    mine = json.loads(house.do("selfheal token list --user ann --json"))
    house.do("\n".join([listed, revoked]), **{"6f9c…": mine[0]["id"]})
    unlock, sign_out = people.splitlines()
    assert "signed out" in house.do(sign_out)
    assert "is not locked out" in house.do(f"{unlock} 2>&1 || true")


def test_everything_is_stopped_and_released_as_the_page_says(house: House) -> None:
    kill, stop, *_ = blocks("how-to/when-something-is-wrong.md")
    house.do(kill)
    assert json.loads(house.do("selfheal kill-switch status --json"))["state"] == "kill"
    house.do("selfheal kill-switch off")
    house.do(stop)
    assert json.loads(house.do("selfheal kill-switch status --json"))["stop_file"] is True
    house.do("selfheal kill-switch off")
    assert not (house.at.home / "STOP").exists()


def test_a_release_is_tried_beside_what_runs_as_the_page_says(house: House) -> None:
    (block,) = [each for each in blocks("how-to/when-something-is-wrong.md") if "--throwaway" in each]
    assert "whole log" in house.do(block)


def test_past_alerts_are_judged_as_the_page_says(house: House) -> None:
    file = next(each for each in blocks("how-to/try-on-history.md") if "--services config" in each)
    compared = blocks("how-to/try-on-history.md")[-1].splitlines()[-1]
    (house.folder / "config").mkdir(exist_ok=True)
    shutil.copy(house.at.config / "services.yaml", house.folder / "config" / "services.yaml")
    began = datetime.now(UTC) - timedelta(days=2)
    alert = {
        "labels": {"alertname": "InstanceDown", "service": "web"},
        "startsAt": began.isoformat(),
        "endsAt": (began + timedelta(minutes=9)).isoformat(),
    }
    (house.folder / "alerts.jsonl").write_text(json.dumps(alert) + "\n")
    for block in (file, compared):
        assert "1" in house.do(block)
