"""`tests:` of a playbook: an alert in; plan and decision out. `rehearsal` runs them, and nothing is touched.

```yaml
tests:
  - name: an alert of the unit restarts it at once
    given:
      alert: {labels: {alertname: InstanceDown, service: web, instance: "web-01:9100"}, severity: critical}
      service: {name: web, targets: {hosts: [web-01, web-02]}, labels: {unit: web.service}}
    expect:
      targets: [web-01]
      parameters: {unit: web.service}
      steps: [{id: restart, with: {unit: web.service}}]
      decision: auto
```

What a case does not say is as permissive as it can be: the installation executes, the service is on `auto`, the window is open,
nothing depends on the service, the record is clean. So what is not `auto` comes from the playbook, or from what the case says.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from selfheal.bounds import Strict
from selfheal.policy import RULES
from selfheal.services import Diagnosis, MapEntry, ServiceSpec
from selfheal.states import GlobalMode, Impact, KillState, Level, Severity, Trigger, Verdict

A_TUESDAY = datetime(2026, 11, 24, 10, tzinfo=UTC)


def _instant(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"expected an instant like 2026-11-24T10:00:00Z, got {value[:60]!r}") from None
    if at.tzinfo is None:
        raise ValueError(f"{value[:60]!r} says no zone: end it with Z, or with an offset like +01:00")
    if not 2000 <= at.year < 2100:
        raise ValueError(f"{value[:60]!r} is not in the years 2000 to 2099")
    return at


def _number(value: Any) -> Any:
    """Fractions are quoted in our files."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"expected a number like '0.85', got {value[:60]!r}") from None


def _by_name(value: Any) -> Any:
    return {"id": value} if isinstance(value, str) else value


class Alert(Strict):
    """As an alert comes in; which service it is about, and what is wrong, follow from its labels as they always do."""

    labels: dict[str, str] = Field(min_length=1)
    annotations: dict[str, str] = {}
    severity: str = ""
    title: str = ""


class Incident(Strict):
    """In place of an alert: an incident as it stands."""

    diagnosis: Diagnosis
    severity: Annotated[Severity, Field(strict=False)] = Severity.MEDIUM
    title: str = ""
    labels: dict[str, str] = {}
    confidence: Annotated[float, BeforeValidator(_number), Field(ge=0, le=1)] = 1.0


class Record(Strict):
    """How the playbook did so far for this diagnosis."""

    held: Annotated[int, Field(ge=0)] = 0  # runs in a row that held
    lost: bool = False  # a bad run took its autonomy
    granted: bool = False  # a person granted it


class Given(Strict):
    """What comes in, where, and what is true at that moment."""

    alert: Alert | None = None
    incident: Incident | None = None
    service: ServiceSpec
    map: list[MapEntry] = Field(default=[], max_length=100)
    target: str = ""  # of an incident; an alert names its own
    parameters: dict[str, Any] = {}
    gathered: dict[str, Any] = {}
    command_allow: list[str] = []
    at: Annotated[datetime, BeforeValidator(_instant)] = A_TUESDAY
    trigger: Annotated[Trigger, Field(strict=False)] = Trigger.ALERT
    firing: bool = True
    mode: Annotated[GlobalMode, Field(strict=False)] = GlobalMode.EXECUTE
    kill_switch: Annotated[KillState, Field(strict=False)] = KillState.OFF
    level: Annotated[Level, Field(strict=False)] = Level.MAINTAIN
    window: Literal["open", "closed"] = "open"
    blast_radius: Annotated[int, Field(ge=0)] = 0
    storm: bool = False
    record: Record = Record()

    @model_validator(mode="after")
    def _one_of_two(self) -> Given:
        if (self.alert is None) == (self.incident is None):
            raise ValueError("has one `alert` or one `incident`")
        if self.alert and self.target:
            raise ValueError("`target` belongs to an `incident`; an alert says it in its labels")
        return self


class Expected(Strict):
    """One step or check of the plan: its name alone, or with some of its frozen arguments."""

    id: str
    target: str = ""  # default: the first
    arguments: dict[str, Any] = Field(default={}, alias="with")


Expectation = Annotated[Expected, BeforeValidator(_by_name)]


class Expect(Strict):
    """What must come out. What is not said is not looked at, but whether it applies: without a word, it must."""

    applicable: bool = True
    reason: str = ""  # a part of why it does not apply, or of why policy decides so
    targets: list[str] | None = None
    parameters: dict[str, Any] = {}
    steps: list[Expectation] | None = None  # of one target, in their order
    verify: list[Expectation] | None = None
    impact: Annotated[Impact | None, Field(strict=False)] = None
    decision: Annotated[Verdict | None, Field(strict=False)] = None
    rules: dict[str, Annotated[Verdict, Field(strict=False)]] = {}

    @field_validator("rules")
    @classmethod
    def _known(cls, rules: dict[str, Verdict]) -> dict[str, Verdict]:
        for name in rules:
            if name not in RULES:
                raise ValueError(f"there is no rule {name[:60]!r}; known are {', '.join(RULES)}")
        return rules

    @model_validator(mode="after")
    def _of_a_plan(self) -> Expect:
        beside = sorted(self.model_fields_set - {"applicable", "reason"})
        if not self.applicable and beside:
            raise ValueError(f"what does not apply has no {beside[0]}: only `reason` goes with `applicable: false`")
        return self


class Case(Strict):
    """One test of a playbook."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    given: Given
    expect: Expect


def unique(cases: list[Case]) -> list[Case]:
    names = [case.name for case in cases]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two tests are named {twice!r}")
    return cases
