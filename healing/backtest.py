"""What a backtest stands on, as it is declared here: in the database, or (without it) in files. Nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone

from healing import catalog, guardrail, windows
from healing.actions import ACTIONS
from healing.catalog.reading import Files, read_playbooks, text_of, vocabulary_of
from healing.catalog.windows import read_windows
from healing.checks import CHECKS
from healing.models import MapRule, Playbook, Record, Service
from selfheal import mapping, services
from selfheal.backtest import Declared, Limits, Listed, Stands, declared_by
from selfheal.documents import read
from selfheal.errors import InvalidDocument
from selfheal.playbooks import Vocabulary, impact_of
from selfheal.states import Impact, Level
from selfheal.windows import WeeklyIn, parse_weekly, read_calendar

# What of the settings enters a backtest.
SETTINGS = (
    "SELF_HEAL_AUTOAPPROVE_LOW_RISK",
    "SELF_HEAL_BACKOFF_BASE_MIN",
    "SELF_HEAL_BACKOFF_MAX_MIN",
    "SELF_HEAL_CHANGE_WINDOW",
    "SELF_HEAL_DUPLICATE_WINDOW_MIN",
    "SELF_HEAL_POLL_SECONDS",
    "SELF_HEAL_PROPOSALS_PER_HOUR",
    "SELF_HEAL_RUN_TIMEOUT_MIN",
    "SELF_HEAL_STORM_MIN_SERVICES",
    "SELF_HEAL_STORM_PERCENT",
    "SELF_HEAL_TIME_ZONE",
)


def limits_of(values: Mapping[str, Any], level: Level) -> Limits:
    """From settings by their names."""
    minutes = {name: timedelta(minutes=values[name]) for name in SETTINGS if name.endswith("_MIN")}
    return Limits(
        level=level,
        autoapprove_low_risk=values["SELF_HEAL_AUTOAPPROVE_LOW_RISK"],
        duplicate_window=minutes["SELF_HEAL_DUPLICATE_WINDOW_MIN"],
        backoff_base=minutes["SELF_HEAL_BACKOFF_BASE_MIN"],
        backoff_longest=minutes["SELF_HEAL_BACKOFF_MAX_MIN"],
        per_hour=values["SELF_HEAL_PROPOSALS_PER_HOUR"],
        storm_percent=values["SELF_HEAL_STORM_PERCENT"],
        storm_least=values["SELF_HEAL_STORM_MIN_SERVICES"],
        poll=timedelta(seconds=values["SELF_HEAL_POLL_SECONDS"]),
        run_timeout_ms=values["SELF_HEAL_RUN_TIMEOUT_MIN"] * 60_000,
        window=WeeklyIn(parse_weekly(values["SELF_HEAL_CHANGE_WINDOW"]), ZoneInfo(values["SELF_HEAL_TIME_ZONE"] or "UTC")),
    )


def from_database(values: Mapping[str, Any]) -> tuple[Declared, Level]:
    """Everything as it stands now, and the guardrail level."""
    rows = Service.objects.filter(active=True).prefetch_related("depends_on").order_by("name")
    specs = [services.parse_service(catalog.service_document(row)) for row in rows]
    rules = [mapping.Rule(*row) for row in MapRule.objects.values_list("match", "service", "target", "diagnosis")]
    playbooks = [Listed(catalog.document_of(p), p.version, p.impact) for p in Playbook.objects.filter(active=True)]
    records = {(r.diagnosis, r.playbook): Stands(r.standing, r.started, r.succeeded) for r in Record.objects.all()}
    vocabulary = Vocabulary(ACTIONS, CHECKS, catalog.commands(), catalog.queries())
    more: dict[str, Any] = {"calendars": windows.in_force(), "records": records}
    return declared_by(specs, rules, playbooks, vocabulary, **_known(values), **more), guardrail.standing(timezone.now()).level


def from_files(file: Path, values: Mapping[str, Any]) -> Declared:
    """Services and map from `file`, the rest from the directories that the settings name. Raises InvalidDocument."""
    files = Files()
    config = Path(values["SELF_HEAL_CONFIG_DIR"])
    vocabulary = vocabulary_of(config, files)
    found = read_playbooks(files, [Path(each) for each in values["SELF_HEAL_PLAYBOOK_DIRS"]], vocabulary)
    declared, faults = read_windows(config)
    if files.errors or faults:
        raise InvalidDocument([*files.errors, *faults])
    said = services.parse(read(text_of(file), str(file)))
    rules = [mapping.Rule(**entry.model_dump(mode="json")) for entry in said.map]
    playbooks = [Listed(each.document, 0, impact_of(each.document, vocabulary)) for each in found]
    calendars = tuple(
        read_calendar(d.name, d.kind, d.calendar, d.time_zone, frozenset(d.services), frozenset(map(Impact, d.impacts)))
        for d in declared or ()
    )
    return declared_by(said.services, rules, playbooks, vocabulary, calendars=calendars, **_known(values))


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"command_allow": values["SELF_HEAL_COMMAND_ALLOW"], "base_url": values["SELF_HEAL_BASE_URL"]}
