from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from selfheal.__main__ import main
from selfheal.choices import SAMPLING, Candidate, advised
from selfheal.ranking import Ranker
from selfheal.replay import Story, as_document, differences, replay, sha256_of
from selfheal.signing import b64

AT = "2026-11-25T12:00:00.000000Z"


def leaf(named: str, /, actor: str = "worker", resource: str = "run:1", at: str = AT, **payload: Any) -> dict[str, Any]:
    beside = {"subsystem": "healing", "result": "ok"}
    return {"actor": actor, "action": named, "resource": resource, "payload": payload, "at": at, **beside}


def moved(kind: str, source: str, to: str, /, **more: Any) -> dict[str, Any]:
    return leaf(f"{kind}.{to}", **{"from": source, "to": to, **more})


STEP = {"step": "restart", "action": "process.restart", "phase": "step", "position": 0, "target": "web-01"}
ENDED = {"exit_code": 0, "stdout": {"sha256": sha256_of("ok"), "bytes": 2}, "reason": "restart (process.restart): it is up"}
RUN = [
    leaf("run.proposed", actor="scheduler", digest="d", verdict="auto", rules=[], playbook="p", version=1),
    moved("run", "proposed", "approved", reason="policy"),
    moved("run", "approved", "queued"),
    moved("run", "queued", "running"),
    moved("step", "pending", "running", attempt=1, arguments_sha256=sha256_of({}), **STEP),
    moved("step", "running", "succeeded", **ENDED, **STEP),
    moved("run", "running", "verifying", reason="the steps are done"),
    moved("run", "verifying", "succeeded", reason="verified"),
    leaf("run.held", actor="scheduler"),
]


def story_of(*leaves: dict[str, Any]) -> Story:
    return replay(enumerate(leaves))


def test_a_story_says_what_the_leaves_say() -> None:
    story = story_of(*RUN)
    assert story.faults == []
    ended = {"status": "succeeded", "outcome": "success", "reason": "verified", "held": True}
    said = {"digest": "d", "verdict": "auto", "attempts": 1, "requested_by": "scheduler", **ended}
    assert {key: story.run[key] for key in said} == said
    step = story.steps["step", 0, "web-01"]
    assert (step["status"], step["attempt"], step["exit_code"], step["message"]) == ("succeeded", 1, 0, "it is up")


def test_one_step_on_two_targets_is_two_steps() -> None:
    begun = [moved("step", "pending", "running", attempt=1, **{**STEP, "target": target}) for target in ("a", "b")]
    assert len(story_of(*begun).steps) == 2


def test_a_move_that_is_not_allowed_is_a_fault() -> None:
    story = story_of(RUN[0], moved("run", "proposed", "succeeded"))
    assert story.faults == ["entry 1: run may not move from proposed to succeeded"]


@pytest.mark.parametrize(("change", "faults"), [({}, 0), ({"sample": "0.999999"}, 1), ({"alpha": "40.000000"}, 1)])
def test_a_choice_whose_samples_were_not_drawn_is_a_fault(change: dict[str, str], faults: int) -> None:
    candidates = (Candidate("a", "low"), Candidate("b", "low"))
    places = Ranker().rank(("a", "b"), "service_down", "web", datetime(2026, 11, 25, tzinfo=UTC), Random("seed"))
    choice = advised(candidates, places, SAMPLING, "seed").told("a", {})
    choice["candidates"][0] |= change
    proposed = {**RUN[0], "payload": {**RUN[0]["payload"], "choice": choice}}
    assert len(story_of(proposed).faults) == faults


def test_an_entry_that_is_missing_is_a_fault() -> None:
    assert story_of(*RUN[:2], *RUN[3:4]).faults == ["entry 2: run moves from queued to running, and it was approved"]


def test_votes_and_the_use_of_an_approval_are_told() -> None:
    about = {"approval": "7", "about": "run:1"}
    story = story_of(
        leaf("approval.requested", needed=2, digest="d", **about),
        leaf("approval.vote", actor="ann", approve=True, via="page", reason="go", **about),
        leaf("approval.vote", actor="ben", approve=True, via="api", reason="", **about),
        moved("approval", "pending", "approved", **about),
        leaf("approval.used", actor="policy", **about),
    )
    request = story.requests["7"]
    assert [(vote["user"], vote["comment"]) for vote in request["votes"]] == [("ann", "go"), ("ben", "")]
    assert (request["status"], request["used_at"]) == ("approved", AT)


def test_a_difference_names_place_field_and_both_values() -> None:
    log, table = story_of(*RUN), story_of(*RUN)
    table.run["outcome"] = "failed"
    table.steps["step", 0, "web-01"]["stdout"] = None
    first, second = differences(log, table)
    assert str(first) == 'run: outcome is "success" in the log and "failed" in the tables'
    assert (second.where, second.field) == ("step 1 on web-01", "stdout")


def test_what_stands_in_the_log_only_is_no_difference() -> None:
    log, table = story_of(*RUN), story_of(*RUN)
    del table.steps["step", 0, "web-01"]["exit_code"]
    assert differences(log, table) == []


def test_a_step_that_waits_for_its_retry_is_no_difference() -> None:
    log = story_of(*RUN[:5], moved("step", "running", "pending", reason="retry after: no", **STEP))
    assert differences(log, story_of(*RUN[:4])) == []


def test_an_export_tells_a_run_without_a_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [leaf("user.created", resource="user:1"), *RUN]
    lines = [
        json.dumps({"index": n, "leaf": b64(json.dumps(each).encode()), "signature": "", "key_id": ""})
        for n, each in enumerate(rows)
    ]
    (tmp_path / "entries.jsonl").write_text("\n".join(lines))
    assert main(["replay", str(tmp_path), "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(json.dumps(as_document(replay(enumerate(RUN, 1)))))
    assert main(["replay", str(tmp_path), "2"]) == 1
    assert main(["replay", str(tmp_path)]) == 2
