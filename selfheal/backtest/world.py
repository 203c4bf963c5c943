"""What a backtest stands on: what is declared, and the limits of policy and scheduler that may be changed to compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from selfheal import mapping
from selfheal.graph import blast_radius
from selfheal.places import Place, places_of
from selfheal.playbooks import PlaybookDocument, Vocabulary
from selfheal.services import ServiceSpec
from selfheal.states import Level, Mode
from selfheal.trust import Standing, order_of
from selfheal.windows import Calendar, WeeklyIn, parse_weekly


@dataclass(frozen=True)
class Listed:
    """A playbook as it would be tried: its newest version and its impact."""

    document: PlaybookDocument
    version: int
    impact: str


@dataclass(frozen=True)
class Stands:
    """How one playbook did so far for one diagnosis."""

    standing: Standing = field(default_factory=Standing)
    started: int = 0
    succeeded: int = 0


@dataclass(frozen=True)
class Service:
    """`places` by the name of the target. `mode`: what is only observed counts as if it were on `auto`."""

    mode: Mode
    places: Mapping[str, Place]
    blast_radius: int


@dataclass(frozen=True)
class Declared:
    """Services, map, playbooks, calendars and records as they stand now."""

    services: Mapping[str, Service]
    facts: mapping.Facts
    rules: Sequence[mapping.Rule]
    playbooks: Sequence[Listed]
    vocabulary: Vocabulary
    calendars: Sequence[Calendar] = ()
    records: Mapping[tuple[str, str], Stands] = field(default_factory=dict)
    observed: int = 0  # services that are only observed today

    def shelf(self, diagnosis: str) -> list[Listed]:
        """The playbooks for it, in the order in which they are tried."""
        fitting = [each for each in self.playbooks if diagnosis in each.document.diagnoses]
        return sorted(fitting, key=lambda each: self._order(each, diagnosis))

    def record(self, diagnosis: str, playbook: str) -> Stands:
        return self.records.get((diagnosis, playbook), Stands())

    def _order(self, each: Listed, diagnosis: str) -> tuple[int, float, str]:
        record = self.record(diagnosis, each.document.playbook)
        return order_of(each.impact, record.succeeded, record.started, each.document.playbook)


@dataclass(frozen=True)
class Limits:
    """What of the settings enters: each as its setting has it."""

    level: Level = Level.MAINTAIN
    autoapprove_low_risk: bool = True
    duplicate_window: timedelta = timedelta(minutes=10)
    backoff_base: timedelta = timedelta(minutes=5)
    backoff_longest: timedelta = timedelta(minutes=120)
    per_hour: int = 3
    storm_percent: int = 40
    storm_least: int = 5
    poll: timedelta = timedelta(seconds=30)
    run_timeout_ms: int = 600_000
    window: WeeklyIn = field(default_factory=lambda: WeeklyIn(parse_weekly("Mon-Fri 09:00-18:00"), ZoneInfo("UTC")))


def declared_by(
    specs: Iterable[ServiceSpec],
    rules: Sequence[mapping.Rule],
    playbooks: Sequence[Listed],
    vocabulary: Vocabulary,
    *,
    command_allow: Sequence[str] = (),
    base_url: str = "",
    **more: Any,
) -> Declared:
    """From services as they are declared. `more`: calendars and records, where there are some."""
    specs = list(specs)
    known = {
        "commands": vocabulary.commands or {},
        "queries": vocabulary.queries or {},
        "command_allow": tuple(command_allow),
        "base_url": base_url,
    }
    graph = {spec.name: spec.depends_on for spec in specs}
    services = {
        spec.name: Service(
            mode=Mode.AUTO if spec.mode is Mode.OBSERVE else spec.mode,
            places={place.target: place for place in places_of(spec, **known)},
            blast_radius=blast_radius(graph, spec.name),
        )
        for spec in specs
    }
    observed = sum(spec.mode is Mode.OBSERVE for spec in specs)
    facts = mapping.facts_of({spec.name: spec.targets.hosts if spec.targets else () for spec in specs})
    return Declared(services, facts, rules, playbooks, vocabulary, observed=observed, **more)
