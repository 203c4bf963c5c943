"""The actions and checks that a playbook may name. They are handed in: this package knows none by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel

from selfheal.commands import Command
from selfheal.places import Place
from selfheal.queries import Query
from selfheal.states import Impact

from .model import PlaybookDocument


class CheckSpec(Protocol):
    """A check: what it takes, and what of it a plan must hold."""

    @property
    def name(self) -> str: ...
    @property
    def Parameters(self) -> type[BaseModel]: ...

    def freeze(self, given: Mapping[str, Any], place: Place) -> dict[str, Any]:
        """The arguments that the plan will hold. Raises Invalid naming the field."""
        ...


class ActionSpec(CheckSpec, Protocol):
    """An action: a check that changes something, and the least impact that this has."""

    @property
    def impact(self) -> Impact: ...


@dataclass(frozen=True)
class Vocabulary:
    """`commands` and `queries`: of commands.yaml and queries.yaml, for the lint; None if they are not known where it runs."""

    actions: Mapping[str, ActionSpec]
    checks: Mapping[str, CheckSpec]
    commands: Mapping[str, Command] | None = None
    queries: Mapping[str, Query] | None = None

    def spec(self, kind: str, name: str) -> CheckSpec | None:
        return self.actions.get(name) if kind == "action" else self.checks.get(name)

    def undoes(self, action: str) -> bool:
        """Whether the action can put back what it changed, from what it found."""
        spec = self.actions.get(action)
        return bool(getattr(spec, "undoes", callable(getattr(spec, "undo", None))))

    def reads_only(self, action: str) -> bool:
        """Whether the action says that it changes nothing. One that does not say so may."""
        return bool(getattr(self.actions.get(action), "reads_only", False))

    def known(self, kind: str) -> list[str]:
        return sorted(self.actions if kind == "action" else self.checks)


def impact_of(document: PlaybookDocument, vocabulary: Vocabulary) -> Impact:
    """The greatest of the playbook's impact and its actions'; an undo counts."""
    floors = [
        vocabulary.actions[name].impact for kind, name in document.doers() if kind == "action" and name in vocabulary.actions
    ]
    return max([document.impact, *floors], key=lambda impact: Impact(impact).rank)
