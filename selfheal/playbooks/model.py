"""The form of a playbook, as its file says it. Durations are whole milliseconds once read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator

from selfheal import canonical
from selfheal.bounds import Bound, Duration, Strict
from selfheal.errors import Invalid
from selfheal.services import Diagnosis, Domain
from selfheal.states import Impact

from .cases import Case, unique

MINUTE = 60_000
LONGEST_RUN = 120 * MINUTE
GATHER = 10_000  # that a look before the decision may take; triage waits for it
GATHERS = 20_000  # that all of a playbook's may take together
LOOK = 20_000  # that one look of a check as a step may take beyond what it waits for

Id = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
ParameterName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Word = Annotated[str, Field(min_length=1, max_length=60)]
Bounded = Annotated[Duration, Field(ge=1, le=LONGEST_RUN)]
Arguments = Annotated[dict[str, Any], BeforeValidator(lambda value: {} if value is None else value)]


class Parameter(Bound):
    """A typed value of the playbook: given by a person, else read from `from`, else `default`."""

    source: Annotated[str, Field(max_length=200)] | None = Field(default=None, alias="from")
    default: str | int | bool | list[str | int | bool] | None = None

    @model_validator(mode="after")
    def _default_within(self) -> Parameter:
        if self.default is not None:
            try:
                self.accept(self.default, "default")
            except Invalid as error:
                raise ValueError(str(error)) from None
        return self


class Retries(Strict):
    max: Annotated[int, Field(ge=0, le=10)] = 0
    delay: Annotated[Duration, Field(ge=0, le=10 * MINUTE)] = 0


class Undo(Strict):
    """What undoes a step."""

    action: Word
    arguments: Arguments = Field(default={}, alias="with")
    timeout: Bounded = MINUTE


class Check(Strict):
    """A check; the keys that are not its own are the check's arguments."""

    model_config = ConfigDict(extra="allow")

    check: Word
    within: Annotated[Duration, Field(ge=0, le=30 * MINUTE)] = MINUTE
    every: Annotated[Duration, Field(ge=100, le=10 * MINUTE)] = 2000

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Gather(Strict):
    """A read-only step before the decision."""

    model_config = ConfigDict(extra="allow")

    action: Word | None = None
    check: Word | None = None
    given: Arguments = Field(default={}, alias="with")
    timeout: Annotated[Duration, Field(ge=1, le=GATHERS)] = GATHER

    @model_validator(mode="after")
    def _one_of(self) -> Gather:
        return _one_doer(self)

    @property
    def arguments(self) -> dict[str, Any]:
        return {**self.given, **(self.model_extra or {})}


class Step(Gather):
    """An action, or a check that must hold before the next step.

    A check must come true `within` and then stay true `for` that long. Without `within` it must be true at once where there is
    a `for`, else within a minute.
    """

    id: Id
    timeout: Bounded = MINUTE
    retries: Retries = Retries()
    on_fail: Literal["undo", "stop"] = "undo"
    rollback: Annotated[Undo | Literal["undo"] | None, BeforeValidator(lambda value: None if value == "none" else value)] = None
    confirm: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    steady: Bounded | None = Field(default=None, alias="for")
    within: Bounded | None = None
    every: Annotated[Duration, Field(ge=100, le=10 * MINUTE)] | None = None

    @model_validator(mode="after")
    def _of_its_kind(self) -> Step:
        if self.check and self.rollback:
            raise ValueError("a check changes nothing: it has no rollback")
        if self.action and (self.steady or self.within or self.every):
            raise ValueError("`for`, `within` and `every` belong to a check")
        return self

    @property
    def patience(self) -> int:
        """Milliseconds within which a check must come true."""
        return self.within if self.within is not None else 0 if self.steady else MINUTE

    @property
    def bound(self) -> int:
        """Milliseconds after which it is ended: its timeout, and for a check without one whatever it may wait for."""
        if self.action or "timeout" in self.model_fields_set:
            return self.timeout
        return min(self.patience + (self.steady or 0) + LOOK, LONGEST_RUN)


class Batch(Strict):
    """How a playbook over all targets of a service goes: so many at once, while so many stay healthy."""

    size: Annotated[int, Field(ge=1, le=1000)] = 1
    min_healthy: Annotated[int, Field(ge=0, le=100_000)] = 1
    max_failures: Annotated[int, Field(ge=0, le=1000)] = 0
    settle: Annotated[Duration, Field(ge=0, le=60 * MINUTE)] = 0


class PlaybookDocument(Strict):
    """One playbook. `plain` is what its file says, `digest` the digest of that but for `tests`: any change is another version."""

    playbook: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$")]
    title: Annotated[str, Field(min_length=1, max_length=200)]
    domain: Domain
    diagnoses: list[Diagnosis] = Field(min_length=1, max_length=100)
    impact: Annotated[Impact, Field(strict=False)]
    reversible: bool = False
    outside_window: Literal["ask", "wait"] = "ask"
    targets: Literal["incident", "service", "none"] = "incident"
    batch: Batch | None = None
    parameters: dict[ParameterName, Parameter] = {}
    gather: dict[Id, Gather] = {}
    when: Annotated[str, Field(max_length=1000)] = ""
    symptom: list[Check] = Field(default=[], max_length=20)
    timeout: Bounded | None = None
    steps: list[Step] = Field(min_length=1, max_length=50)
    verify: list[Check] = Field(default=[], max_length=20)
    tests: Annotated[list[Case], Field(max_length=100), AfterValidator(unique)] = []

    _plain: dict[str, Any] = PrivateAttr(default_factory=dict)
    _warnings: tuple[Invalid, ...] = PrivateAttr(default=())
    _digest: str = PrivateAttr(default="")

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> PlaybookDocument:
        """The document that was parsed once, from what it said."""
        document = cls.model_validate(dict(plain))
        document._plain = dict(plain)
        return document

    @property
    def plain(self) -> dict[str, Any]:
        return self._plain

    @property
    def warnings(self) -> tuple[Invalid, ...]:
        """What the lint found that is allowed, each with its line."""
        return self._warnings

    @property
    def digest(self) -> str:
        if not self._digest:
            self._digest = canonical.digest({key: value for key, value in self._plain.items() if key != "tests"})
        return self._digest

    def doers(self) -> Iterator[tuple[str, str]]:
        """Everything that it does or looks at: ("action" | "check", name)."""
        for each in (*self.gather.values(), *self.steps):
            yield ("action", each.action) if each.action else ("check", each.check or "")
        yield from (("action", step.rollback.action) for step in self.steps if isinstance(step.rollback, Undo))
        yield from (("check", check.check) for check in (*self.symptom, *self.verify))


def _one_doer(step: Any) -> Any:
    if bool(step.action) == bool(step.check):
        raise ValueError("has one `action` or one `check`")
    return step
