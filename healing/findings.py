"""What is looked at to say whether everything is well, with how to mend it: for `selfheal doctor` and the health page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ProjectState

from healing import breaker, clock, heartbeats, pools
from healing.ledger import grants, guards, patrol, pushing
from healing.ledger.selectors import waiting_since
from healing.models import User
from selfheal.errors import SelfhealError
from selfheal.findings import Finding

PATROL_LATE = timedelta(minutes=10)  # it looks each minute
LATE = timedelta(seconds=15)  # the sequencer takes a leaf within a second


def guarded(what: str, check: Callable[[], Finding]) -> Finding:
    """A check that fails for a reason of its own is a finding, not the end of the others."""
    try:
        return check()
    except (DatabaseError, SelfhealError, OSError) as error:
        return Finding(what, False, str(error).strip().partition("\n")[0], "see the line above")


def migrations() -> Finding:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    found = f"{len(plan)} to apply" if plan else "all applied"
    return Finding("migrations", not plan, found, "selfheal migrate (up does it too)")


def schema() -> Finding:
    """One head an application, and no model that the migrations do not make."""
    loader = MigrationExecutor(connection).loader
    heads = [f"{app} has {' and '.join(names)}" for app, names in loader.detect_conflicts().items()]
    drift = () if heads else MigrationAutodetector(loader.project_state(), ProjectState.from_apps(apps)).changes(loader.graph)
    wrong = [*heads, *(f"{app} has models that its migrations do not make" for app in drift)]
    return Finding(
        "schema", not wrong, "; ".join(wrong) or "one head, no drift", "install the release anew: this one is not whole"
    )


def log_order(at: datetime) -> Finding:
    since = waiting_since()
    late = since is not None and at - since > LATE
    found = f"a leaf waits for its index since {since:%Y-%m-%d %H:%M:%S} UTC" if late else f"none waits over {LATE.seconds} s"
    return Finding("log order", not late, found, "selfheal up (or the process `selfheal sequencer`)")


def log_guards() -> Finding:
    missing = guards.missing()
    return Finding("log guards", not missing, ", ".join(missing) or "all there", "selfheal migrate puts them back")


def log_grants() -> Finding:
    """On PostgreSQL: whether a role that owns nothing is used. One role for everything is no fault, but it is said."""
    more = grants.more_than_needed()
    found = (
        f"this role may {more[0]} but for the guards, which an owner may drop"
        if more
        else "this role may add to the log and read it"
    )
    return Finding("log grants", True, found)


def log_places() -> Finding:
    """Witnesses and outside places; that the log does not go on from one of them is said before anything else."""
    found, wrong = pushing.configured(), pushing.failing()
    if not wrong:
        said = (
            f"{len(found)}, none fails" if found else "no witness and no place: nobody else can tell if the log is written anew"
        )
        return Finding("log outside", True, said)
    first = min(wrong, key=lambda row: not row.refused)
    mend = (
        "find out who has changed the database: `selfheal log verify`, and compare with what is kept there"
        if first.refused
        else "`selfheal log push` tries it now"
    )
    return Finding(
        "log outside", False, f"{first.name}: {first.error}" + (f"; and {len(wrong) - 1} more" if wrong[1:] else ""), mend
    )


def log_patrol(at: datetime) -> Finding:
    """What the patrol has found, or that it does not go on."""
    row, mend = patrol.state(), "`selfheal log verify` names every entry; restore a backup that verifies, and find out who did it"
    if row.is_wrong:
        first = row.standing[0]["message"] if row.standing else ""
        return Finding("log patrol", False, f"{max(row.wrong, row.passed_wrong):,} wrong: {first}", mend)
    if row.looked_at and at - row.looked_at > PATROL_LATE:
        return Finding("log patrol", False, f"stands still since {row.looked_at:%Y-%m-%d %H:%M} UTC", "selfheal up")
    passed = (
        f"all {row.passed_size:,} entries were good at {row.passed_at:%Y-%m-%d %H:%M} UTC"
        if row.passed_at
        else "no pass is through"
    )
    return Finding("log patrol", True, f"{passed}; {row.next_index:,} of {row.size:,} in this pass")


def clocks(at: datetime) -> Finding:
    """Whether each process goes by the clock of the database; the database of a host alone has the host's."""
    wrong = [row for row in heartbeats.fresh(at).order_by("name") if abs(row.clock_ahead) > clock.MOST]
    found = "; ".join(f"{row.name}: {clock.said(row.clock_ahead)}" for row in wrong)
    return Finding(
        "clock", not wrong, found or "all agree with the database", "set the clock of that machine (chrony, timedatectl)"
    )


def administrator() -> Finding:
    there = User.objects.filter(groups__name="admin", is_active=True).count()
    return Finding("administrator", bool(there), str(there), "selfheal user create NAME --role admin")


def runner_pools(at: datetime) -> Finding:
    """Whether each pool that a service names has a worker."""
    named = pools.named()
    empty = pools.unmanned(named, at)
    found = f"no worker of {', '.join(empty)}" if empty else ", ".join(named) or "no service names one"
    return Finding(
        "runner pools", not empty, found, f"beside what it heals: selfheal worker --pool {empty[0] if empty else 'NAME'}"
    )


def advisers(at: datetime) -> Finding:
    """Whether the adviser that is asked can answer. Nothing waits for it."""
    asked = settings.SELF_HEAL_FORECASTER
    if not asked:
        return Finding("advisers", True, "none is asked: SELF_HEAL_FORECASTER is empty")
    if not heartbeats.is_there(heartbeats.ADVICE, at):
        mend = "selfheal worker advice (up starts it); SELF_HEAL_FORECASTER= asks none"
        return Finding("advisers", False, "no sign of life of a worker for advice: there are no forecasts", mend)
    off = breaker.standing(asked)
    if off.off_until:
        found = f"{asked} is switched off until {off.off_until:%Y-%m-%d %H:%M:%S} UTC: {off.reason}"
        return Finding("advisers", False, found, "it is tried again by itself; the log of the worker for advice says more")
    return Finding("advisers", True, f"{asked} is asked")


def processes(at: datetime) -> Finding:
    missing = heartbeats.missing(at)
    found = f"no sign of life: {', '.join(missing)}" if missing else "all there"
    return Finding("processes", not missing, found, "selfheal up")
