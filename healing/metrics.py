"""What /metrics says, in the text format of Prometheus.

Rules that this module keeps:
1. Each number is read by an index and costs what is open, waiting or kept (a counter), never the history.
2. A name stays: dashboards and alerting rules ask for it. `METRICS` is the list; the reference page is written from it.
3. Counters are rows of the database, so any web process says the same, and a restart loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import Count, Min
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest

from healing import breaker, counters, governance, silences
from healing.jobs import last_run
from healing.ledger import pushing
from healing.ledger.selectors import waiting_since
from healing.mode import global_mode
from healing.models import (
    ApprovalRequest,
    Control,
    Heartbeat,
    Incident,
    LedgerHead,
    LedgerOutbox,
    LedgerPatrol,
    LedgerPlace,
    Notification,
    Problem,
    Run,
)
from healing.scheduler_state import backoff_active, proposals_of_the_hour, running
from selfheal.states import (
    ALIVE_RUN,
    LIVE_INCIDENT,
    ApprovalStatus,
    GlobalMode,
    KillState,
    Outcome,
    ProblemStatus,
    RunStatus,
    Severity,
)

Sample = tuple[tuple[str, ...], float]  # values of the labels, the number
PREFIX = "selfheal_"
DECIDED = [status for status in ApprovalStatus if status is not ApprovalStatus.PENDING]


class Known(NamedTuple):
    """What several metrics need, read once for a page."""

    at: datetime
    counters: dict[str, dict[str, Any]]


class Described(NamedTuple):
    name: str
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily]
    help: str
    labels: tuple[str, ...]
    read: Callable[[Known], Iterable[Sample]]


def text(at: datetime) -> bytes:
    """The page."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(at))
    return generate_latest(registry)


class _Collector:
    def __init__(self, at: datetime) -> None:
        self.at = at

    def collect(self) -> Iterator[Metric]:
        known = Known(self.at, counters.read())
        for each in METRICS:
            family = each.kind(PREFIX + each.name, each.help, labels=each.labels)
            for values, number in each.read(known):
                family.add_metric(values, number)
            yield family


def _proposals(known: Known) -> Iterable[Sample]:
    for service, rows in sorted(known.counters.items()):
        if service and counters.PROPOSED in rows:
            yield (service,), rows[counters.PROPOSED].value


def _skips(known: Known) -> Iterable[Sample]:
    for service, rows in sorted(known.counters.items()):
        for name, row in sorted(rows.items()):
            if name.startswith("skipped_") and (service or name == "skipped_unmapped"):
                yield (service, name.removeprefix("skipped_")), row.value


def _runs_total(known: Known) -> Iterable[Sample]:
    return (((outcome,), _value(known, f"runs_{outcome}")) for outcome in Outcome)


def _approvals_total(known: Known) -> Iterable[Sample]:
    return (((status,), _value(known, f"approvals_{status}")) for status in DECIDED)


def _value(known: Known, name: str) -> float:
    row = known.counters[""].get(name)
    return float(row.value) if row else 0.0


def _runs(known: Known) -> Iterable[Sample]:
    found = dict(Run.objects.filter(status__in=ALIVE_RUN).order_by().values_list("status").annotate(Count("pk")))
    return (((status,), found.get(status, 0)) for status in ALIVE_RUN)


def _incidents(known: Known) -> Iterable[Sample]:
    live = Incident.objects.filter(status__in=LIVE_INCIDENT)
    found = dict(live.order_by().values_list("severity").annotate(Count("pk")))
    return (((severity,), found.get(severity, 0)) for severity in Severity)


def _problems(known: Known) -> Iterable[Sample]:
    return _one(Problem.objects.filter(status=ProblemStatus.OPEN).count())


def _pending(known: Known) -> Iterable[Sample]:
    waiting = ApprovalRequest.objects.filter(status=ApprovalStatus.PENDING)
    found = dict(waiting.order_by().values_list("impact").annotate(Count("pk")))
    return (((impact,), number) for impact, number in sorted(found.items()))


def _oldest_approval(known: Known) -> Iterable[Sample]:
    waiting = ApprovalRequest.objects.filter(status=ApprovalStatus.PENDING)
    return _age(known.at, waiting.aggregate(since=Min("created_at"))["since"])


def _oldest_run(known: Known) -> Iterable[Sample]:
    waiting = Run.objects.filter(status=RunStatus.QUEUED)
    return _age(known.at, waiting.aggregate(since=Min("approved_at"))["since"])


def _ledger_size(known: Known) -> Iterable[Sample]:
    return _one(LedgerHead.objects.values_list("size", flat=True).first() or 0)


def _ledger_pending(known: Known) -> Iterable[Sample]:
    return _one(LedgerOutbox.objects.count())


def _ledger_pending_age(known: Known) -> Iterable[Sample]:
    return _age(known.at, waiting_since())


def _places(known: Known) -> list[LedgerPlace]:
    names = [place.name for place in pushing.configured()]
    return list(LedgerPlace.objects.filter(pk__in=names)) if names else []


def _push_failing(known: Known) -> Iterable[Sample]:
    return (((row.name,), 2 if row.refused else int(bool(row.error))) for row in _places(known))


def _push_age(known: Known) -> Iterable[Sample]:
    done = [row for row in _places(known) if row.succeeded_at]
    return (((row.name,), (known.at - row.succeeded_at).total_seconds()) for row in done if row.succeeded_at)


def _damaged(known: Known) -> Iterable[Sample]:
    row = LedgerPatrol.objects.filter(pk=1).first()
    return _one(max(row.wrong, row.passed_wrong) if row else 0)


def _heartbeats(known: Known) -> Iterable[Sample]:
    rows = Heartbeat.objects.order_by("role", "name").values_list("role", "name", "at")
    return (((role, name), (known.at - seen).total_seconds()) for role, name, seen in rows)


def _advisers_off(known: Known) -> Iterable[Sample]:
    off = {row.name for row in breaker.known() if row.off_until}
    return (((name,), name in off) for name in sorted({settings.SELF_HEAL_FORECASTER, *off} - {""}))


def _tick_seconds(known: Known) -> Iterable[Sample]:
    last = last_run("tick")
    return _one(last.seconds) if last and last.seconds is not None else ()


def _tick_age(known: Known) -> Iterable[Sample]:
    last = last_run("tick")
    return _one((known.at - last.started_at).total_seconds()) if last else ()


def _scheduler_up(known: Known) -> Iterable[Sample]:
    last = last_run("tick")
    return _one(running(last, known.at) and not (last and last.error))


def _notifications(known: Known) -> Iterable[Sample]:
    return _one(Notification.objects.filter(due_at__isnull=False).count())


def _hour(known: Known) -> Iterable[Sample]:
    numbers: dict[str, int] = {}
    for row in proposals_of_the_hour(known.at):
        numbers[row["service__name"]] = max(numbers.get(row["service__name"], 0), row["number"])
    return (((service,), number) for service, number in sorted(numbers.items()))


def _one(number: float) -> Iterable[Sample]:
    return [((), float(number))]


def _age(at: datetime, since: datetime | None) -> Iterable[Sample]:
    """Nothing waits: 0, so that a rule over it is never without a value."""
    return _one((at - since).total_seconds() if since else 0)


GAUGE, COUNTER = GaugeMetricFamily, CounterMetricFamily
METRICS = (
    Described("proposals_total", COUNTER, "What was proposed, whatever policy said of it.", ("service",), _proposals),
    Described(
        "skips_total",
        COUNTER,
        "Times that healing was kept back, when it began; no service: unmapped.",
        ("service", "reason"),
        _skips,
    ),
    Described(
        "proposals_last_hour", GAUGE, "Proposals of the last hour for the busiest target of a service.", ("service",), _hour
    ),
    Described(
        "backoff_active", GAUGE, "Places that wait before their next proposal.", (), lambda k: _one(backoff_active(k.at).count())
    ),
    Described("silences_active", GAUGE, "Silences that hold now.", (), lambda k: _one(len(silences.in_force(k.at)))),
    Described("tick_seconds", GAUGE, "How long the last tick of the scheduler took.", (), _tick_seconds),
    Described("tick_age_seconds", GAUGE, "Time since the last tick of the scheduler began.", (), _tick_age),
    Described("scheduler_up", GAUGE, "1 while the scheduler ticks and its last tick went well.", (), _scheduler_up),
    Described("runs_total", COUNTER, "Runs that are over.", ("outcome",), _runs_total),
    Described("runs", GAUGE, "Runs that are not over.", ("status",), _runs),
    Described("run_queue_oldest_seconds", GAUGE, "How long the oldest queued run waits; 0: none does.", (), _oldest_run),
    Described("approvals_total", COUNTER, "Approval requests that are decided, or over.", ("status",), _approvals_total),
    Described("approvals_pending", GAUGE, "Approval requests that wait for a person.", ("impact",), _pending),
    Described("approval_oldest_seconds", GAUGE, "How long the oldest request waits; 0: none does.", (), _oldest_approval),
    Described("incidents_live", GAUGE, "Incidents that are open or acknowledged.", ("severity",), _incidents),
    Described("problems_open", GAUGE, "What is healed again and again, and nobody has acknowledged.", (), _problems),
    Described("ledger_entries", GAUGE, "Entries under the last signed head of the log.", (), _ledger_size),
    Described("ledger_pending", GAUGE, "Entries that the sequencer has not signed yet.", (), _ledger_pending),
    Described("ledger_pending_seconds", GAUGE, "Age of the oldest of these; 0: there is none.", (), _ledger_pending_age),
    Described(
        "ledger_push_failing", GAUGE, "0 ok, 1 it failed, 2 the log does not go on from what is there.", ("place",), _push_failing
    ),
    Described("ledger_push_age_seconds", GAUGE, "Time since a witness or place was last up to date.", ("place",), _push_age),
    Described("ledger_damaged", GAUGE, "Entries and heads that the patrol found not to be as they were signed.", (), _damaged),
    Described("heartbeat_age_seconds", GAUGE, "Time since the last sign of life of a process.", ("role", "process"), _heartbeats),
    Described("adviser_off", GAUGE, "1 while an adviser is switched off.", ("adviser",), _advisers_off),
    Described("notifications_waiting", GAUGE, "Messages that are not sent yet.", (), _notifications),
    Described(
        "storm",
        GAUGE,
        "1 while a storm keeps everything from starting by itself.",
        (),
        lambda k: _one(Control.objects.filter(pk=1).exclude(storm="").exists()),
    ),
    Described(
        "kill_switch", GAUGE, "0 off, 1 pause, 2 kill.", (), lambda k: _one(list(KillState).index(governance.kill_state()))
    ),
    Described("mode", GAUGE, "0 off, 1 observe, 2 execute.", (), lambda k: _one(list(GlobalMode).index(global_mode()))),
)
