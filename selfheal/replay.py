"""The story of one run, from its entries in the log alone.

Everything that belongs to a run has `run:ID` as its resource. `replay` takes those leaves in their order and gives what they
say: the plan's digest, the decision with its rules, who was asked and how they voted, each step with its attempts, times,
outcome and output (as SHA-256), and how it ended. `differences` holds that against what the tables say.

Rules that this module keeps:
1. Only what stands in the leaves is said. What no leaf says is not guessed.
2. A move that `states.MOVES` does not allow, or that starts from another state than the one before it led to, is a fault.
3. Times are compared as the leaves write them: RFC 3339 in UTC with microseconds.
4. A choice among playbooks is drawn again from the beliefs and the seed that the leaf has; other samples are a fault.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from selfheal.choices import drawn_again
from selfheal.states import OUTCOME_OF, ApprovalStatus, RunStatus, StepStatus, may_move

Facts = dict[str, Any]
StepKey = tuple[str, int, str]  # phase, position, target

PROPOSED = (
    "playbook", "version", "digest", "impact", "trigger", "service", "target", "diagnosis", "incident", "verdict", "policy",
    "rules",
)  # fmt: skip
DONE = ("exit_code", "stdout", "stderr", "result_sha256")
LOG_ONLY = ("exit_code",)  # stands in the log and in no table
OUTPUTS = ("stdout", "stderr")  # that a table keeps for a while; gone, the table does not have the key
ABSENT = "(nothing)"


@dataclass(frozen=True)
class Line:
    """One entry as people read it. `index` None: it is written down, and waits for its place in the log."""

    index: int | None
    at: str
    actor: str
    action: str
    what: str
    reason: str


@dataclass
class Story:
    """What the entries of a run say, as it stood after the last of them."""

    run: Facts = field(default_factory=dict)
    steps: dict[StepKey, Facts] = field(default_factory=dict)
    requests: dict[str, Facts] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Difference:
    """A field of which log and tables say different things."""

    where: str
    field: str
    log: Any
    table: Any

    def __str__(self) -> str:
        return f"{self.where}: {self.field} is {_shown(self.log)} in the log and {_shown(self.table)} in the tables"


def replay(entries: Iterable[tuple[int | None, Mapping[str, Any]]]) -> Story:
    """The story that (index, leaf) tell, in the order of the log."""
    story = Story()
    for index, leaf in entries:
        payload = leaf["payload"]
        kind, _, name = leaf["action"].partition(".")
        tell = _TELLERS.get(kind)
        if tell:
            tell(story, index, name, leaf)
        what = " ".join(str(payload[key]) for key in ("phase", "step", "target") if key in payload) if kind == "step" else ""
        line = Line(index, leaf["at"], leaf["actor"], leaf["action"], what, str(payload.get("reason", "")))
        story.lines.append(line)
    return story


def differences(story: Story, tables: Story) -> list[Difference]:
    """Every field of which the tables say something else than the log, in the order of run, requests, steps."""
    found = _compared("run", story.run, tables.run)
    for key in sorted(story.requests.keys() | tables.requests.keys()):
        found += _compared(f"approval {key}", story.requests.get(key), tables.requests.get(key))
    begun, stored = _begun(story), _begun(tables)
    for place in sorted(begun.keys() | stored.keys()):
        found += _compared(name_of(place), begun.get(place), stored.get(place))
    return found


def _begun(story: Story) -> dict[StepKey, Facts]:
    """A step that waits, for the first time or again, has not come to anything."""
    return {place: step for place, step in story.steps.items() if step["status"] != StepStatus.PENDING}


def as_document(story: Story) -> dict[str, Any]:
    """The story as JSON can hold it."""
    steps = [
        {"phase": phase, "position": position, "target": target, **step}
        for (phase, position, target), step in story.steps.items()
    ]
    requests = [{"approval": key, **request} for key, request in story.requests.items()]
    return {
        "run": story.run,
        "approvals": requests,
        "steps": steps,
        "entries": [asdict(line) for line in story.lines],
        "faults": story.faults,
    }


def name_of(place: StepKey) -> str:
    phase, position, target = place
    return f"{phase} {position + 1} on {target}"


def sha256_of(value: Any) -> str:
    """Of a text its UTF-8; of anything else its JSON with sorted keys. 64 hex digits."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


# -- what each kind of entry says


def _tell_run(story: Story, index: int | None, name: str, leaf: Mapping[str, Any]) -> None:
    run, payload, at = story.run, leaf["payload"], leaf["at"]
    if name == RunStatus.PROPOSED:
        run |= {key: payload.get(key) for key in PROPOSED}
        run |= {"choice": payload["choice"]} if "choice" in payload else {}
        story.faults += _drawn(index, payload.get("choice"))
        run |= {
            "plan_sha256": payload.get("digest"),
            "status": name,
            "requested_by": leaf["actor"],
            "created_at": at,
            "attempts": 0,
            "reason": "",
        }
    elif name in list(RunStatus):
        _move(story, "run", "run", run, index, payload)
        run["reason"] = payload.get("reason") or run.get("reason", "")
        if name == RunStatus.APPROVED:
            run["approved_at"] = at
        elif name == RunStatus.RUNNING:
            run |= {"started_at": at, "attempts": run.get("attempts", 0) + 1}
        if name in OUTCOME_OF:
            run |= {"finished_at": at, "outcome": OUTCOME_OF[name].value, "abort_reason": payload.get("abort_reason")}
    elif name == "taken_over":
        run["attempts"] = run.get("attempts", 0) + 1
    elif name == "decided":
        run |= {key: payload[key] for key in ("verdict", "policy", "rules")}
    elif name in ("held", "not_held"):
        run["held"] = name == "held"


def _drawn(index: int | None, choice: Mapping[str, Any] | None) -> list[str]:
    """What is wrong with the samples of a choice, in words."""
    again = drawn_again(choice) if choice else {}
    said = {row["playbook"]: row.get("sample") for row in (choice or {}).get("candidates", ())}
    wrong = [f"{name} {said[name]} is {sample} when drawn again" for name, sample in again.items() if said[name] != sample]
    return [f"entry {index}: the samples are not those of its seed: {', '.join(wrong)}"] if wrong else []


def _tell_step(story: Story, index: int | None, name: str, leaf: Mapping[str, Any]) -> None:
    payload, at = leaf["payload"], leaf["at"]
    place = (str(payload.get("phase")), int(payload.get("position", 0)), str(payload.get("target")))
    if name not in list(StepStatus):
        return
    fresh = {"step": payload.get("step"), "action": payload.get("action"), "status": StepStatus.PENDING.value, "attempt": 0}
    step = story.steps.setdefault(place, fresh)
    _move(story, "step", name_of(place), step, index, payload)
    if name == StepStatus.RUNNING:
        step |= {"started_at": at, "attempt": payload.get("attempt"), "arguments_sha256": payload.get("arguments_sha256")}
    elif "exit_code" in payload:
        message = str(payload.get("reason", "")).partition(": ")[2]
        step |= {"finished_at": at, "message": message, **{key: payload.get(key) for key in DONE}}
    elif name == StepStatus.UNKNOWN:
        step["message"] = payload.get("reason")


def _tell_approval(story: Story, index: int | None, name: str, leaf: Mapping[str, Any]) -> None:
    payload, at = leaf["payload"], leaf["at"]
    key = str(payload.get("approval"))
    if name == "requested":
        known = {field: payload.get(field) for field in ("about", "digest", "impact", "needed", "requested_by")}
        story.requests[key] = {**known, "status": ApprovalStatus.PENDING.value, "created_at": at, "votes": []}
        return
    request = story.requests.setdefault(key, {"votes": []})
    if name == "vote":
        vote = {"user": leaf["actor"], "approve": payload["approve"], "via": payload["via"], "comment": payload.get("reason", "")}
        request["votes"].append({**vote, "at": at})
    elif name == "used":
        request["used_at"] = at
    elif name in list(ApprovalStatus):
        _move(story, "approval", f"approval {key}", request, index, payload)
        request["decided_at"] = at


def _move(story: Story, kind: str, where: str, thing: Facts, index: int | None, payload: Mapping[str, Any]) -> None:
    source, to, before = payload.get("from"), payload.get("to"), thing.get("status")
    place = "an entry that has no index yet" if index is None else f"entry {index}"
    if source != before:
        story.faults.append(f"{place}: {where} moves from {source} to {to}, and it was {before or ABSENT}")
    elif not may_move(kind, str(source), str(to)):
        story.faults.append(f"{place}: {where} may not move from {source} to {to}")
    thing["status"] = to


_TELLERS = {"run": _tell_run, "step": _tell_step, "approval": _tell_approval}


# -- comparing


def _compared(where: str, log: Facts | None, table: Facts | None) -> list[Difference]:
    if log is None or table is None:
        return [Difference(where, "status", (log or {}).get("status", ABSENT), (table or {}).get("status", ABSENT))]
    gone = [key for key in OUTPUTS if key not in table]
    keys = [key for key in dict.fromkeys((*log, *table)) if key not in (*LOG_ONLY, *gone)]
    return [Difference(where, key, log.get(key), table.get(key)) for key in keys if log.get(key) != table.get(key)]


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:299]}…"
