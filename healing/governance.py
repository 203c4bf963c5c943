"""What stands over every decision: the kill switch, and the facts that policy looks at.

The kill switch is a row in the database, signed into the log and kept across restarts; a file `STOP` in the home does the same
without a database. Pulling it ends what has not started; releasing it revives nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, OuterRef

from healing import debt, guardrail, ledger, notifications, windows
from healing.half_done import half_done as list_half_done
from healing.mode import global_mode
from healing.models import Control, Incident, Playbook, Record, Run, Service
from healing.trust import distrust
from selfheal import graph, guardrails, policy, trust
from selfheal.canonical import digest
from selfheal.errors import Invalid
from selfheal.scores import Actor
from selfheal.states import ACTIVE_RUN, ALIVE_RUN, LIVE_INCIDENT, AbortReason, Impact, KillState, Level, Mode
from selfheal.windows import Calendar, State, state

NEWLY = timedelta(minutes=5)
MAX_REASON = 2_000
STOP_FILE = "the file STOP"  # who acts, in the log, when the file does


def stop_file_is_there() -> bool:
    return (settings.SELF_HEAL_HOME / "STOP").exists()


def kill_state() -> KillState:
    """The state of the switch now; the STOP file counts as `kill` and needs no database."""
    if stop_file_is_there():
        return KillState.KILL
    state = Control.objects.filter(pk=1).values_list("kill_switch", flat=True).first()
    return KillState(state or KillState.OFF)


def control(*, lock: bool = False) -> Control:
    """The one row that every claim locks."""
    rows = Control.objects.select_for_update() if lock else Control.objects
    return rows.get_or_create(pk=1)[0]


def set_kill_switch(state: str, reason: str, actor: str, at: datetime) -> dict[str, Any]:
    """Pull or release the switch. Returns {state, reason, half_done}, the last as `healing.half_done` lists it.

    Raises Invalid for an unknown state or a missing reason.
    """
    if state not in list(KillState):
        raise Invalid(f"must be one of {', '.join(KillState)}", field="state")
    if not 0 < len(reason.strip()) <= MAX_REASON:
        raise Invalid(f"says why the switch is moved, in 1 to {MAX_REASON:,} characters", field="reason")
    from healing.runs.ending import abort_before_start

    half = half_done()
    with transaction.atomic():  # alone, so that nothing that happens at the same moment can keep it from being moved
        locked = control(lock=True)
        before = KillState.KILL if stop_file_is_there() else locked.kill_switch
        if before == state == KillState.OFF:
            return {"state": state, "reason": reason, "half_done": half}
        Control.objects.filter(pk=1).update(kill_switch=state, kill_reason=reason, kill_actor=actor, kill_at=at)
        payload = {"from": before, "to": state, "reason": reason, "half_done": _told(half)}
        ledger.append(actor=actor, action="kill_switch.set", resource="kill_switch", payload=payload, at=at)
        notifications.kill_switch(state, reason, actor, at)
    if state != KillState.OFF:
        for run in Run.objects.filter(status__in=[s for s in ALIVE_RUN if s not in ACTIVE_RUN]).select_related("service"):
            abort_before_start(run, AbortReason.KILL_SWITCH, f"kill switch: {reason}", actor=actor, at=at)
    return {"state": state, "reason": reason, "half_done": half}


def is_release(state: str) -> bool:
    """Whether moving the switch to `state` makes it looser: that needs an approver, pulling it only an operator."""
    order = list(KillState)
    return state == KillState.OFF or order.index(KillState(state)) < order.index(kill_state())


def half_done() -> list[dict[str, Any]]:
    """What is half-done now; while the switch is on, what it ended as well."""
    return list_half_done(None if kill_state() is KillState.OFF else control().kill_at)


def _told(half: list[dict[str, Any]]) -> dict[str, Any]:
    """As an entry can hold it, however many there are."""
    return {"count": len(half), "digest": digest(half), "first": half[:20]}


def notice_stop_file(at: datetime) -> bool:
    """Write a STOP file that is new into the log; whether it was. It ends what was proposed before it, even once it is gone."""
    path = settings.SELF_HEAL_HOME / "STOP"
    try:
        put = min(datetime.fromtimestamp(path.stat().st_ctime, UTC), at)
    except FileNotFoundError:
        return False
    try:
        with path.open(errors="replace") as file:
            said = file.read(MAX_REASON).replace("\x00", "").strip()
    except OSError:  # a directory of that name, or not ours to read: it stops all the same
        said = ""
    with transaction.atomic():
        before = control(lock=True)
        if before.kill_at and before.kill_at >= put:
            return False
        half = list_half_done()
        changes = {"kill_reason": f"the file STOP: {said or 'it does not say why'}", "kill_actor": STOP_FILE, "kill_at": at}
        Control.objects.filter(pk=1).update(**changes)
        payload = {"from": before.kill_switch, "to": KillState.KILL, "reason": changes["kill_reason"], "half_done": _told(half)}
        ledger.append(actor=STOP_FILE, action="kill_switch.stop_file", resource="kill_switch", payload=payload, at=at)
        notifications.kill_switch(KillState.KILL, str(changes["kill_reason"]), STOP_FILE, at)
    return True


@dataclass(frozen=True)
class World:
    """What is the same for every decision of one look: read once, handed to each."""

    graph: dict[str, set[str]]
    storm: str
    kill_switch: KillState
    level: Level
    windows: tuple[Calendar, ...]
    attention: tuple[str, ...] = ()  # diagnoses that are looked at first


def world(at: datetime) -> World:
    rail = guardrail.standing(at)
    return World(service_graph(), _storm(at), kill_state(), rail.level, windows.in_force(), rail.attention)


def service_graph() -> dict[str, set[str]]:
    """Each active service → the names of the services that it depends on."""
    edges: dict[str, set[str]] = {}
    for name, needs in Service.objects.filter(active=True).values_list("name", "depends_on__name"):
        edges.setdefault(name, set()).update({needs} if needs else ())
    return edges


def _failing(playbook: str, at: datetime) -> str:
    """Why a playbook is stopped everywhere: its active version has just gone wrong several times. A mended one begins anew."""
    lately = Run.objects.filter(
        guardrail.WENT_WRONG,
        playbook__in=Playbook.objects.filter(name=playbook, active=True),
        created_at__gt=at - guardrails.FAILURES_WITHIN,
        started_at__isnull=False,
    )
    return guardrails.failing(lately.exclude(abort_reason__in=trust.EXCUSED).count())


def note_storm(at: datetime, storm: str | None = None) -> None:
    """Write down that a storm has begun or is over: once, whoever sees it first. `storm`: where it was looked for already."""
    storm, known = _storm(at) if storm is None else storm, control().storm
    if bool(storm) == bool(known):
        return
    with transaction.atomic():
        if Control.objects.filter(pk=1, storm=known).update(storm=storm, storm_at=at):
            action, reason = ("storm.tripped", storm) if storm else ("storm.over", known)
            ledger.append(actor="scheduler", action=action, resource="storm", payload={"reason": reason}, at=at)
            notifications.storm(action, reason, at)


def _storm(at: datetime) -> str:
    """Two looks into an index (`incident_of_service`) for each service, however many incidents are open."""
    live = Incident.objects.filter(service=OuterRef("pk"), status__in=LIVE_INCIDENT)
    unwell, newly = Exists(live), Exists(live.filter(opened_at__gte=at - NEWLY))
    found = Service.objects.filter(active=True).aggregate(
        services=Count("pk"), unhealthy=Count("pk", filter=unwell), newly_unhealthy=Count("pk", filter=newly)
    )
    return guardrails.storm(**found, percent=settings.SELF_HEAL_STORM_PERCENT, least=settings.SELF_HEAL_STORM_MIN_SERVICES)


def facts_for(
    service: Service,
    playbook: str,
    diagnosis: str,
    impact: Impact,
    world: World,
    at: datetime,
    *,
    doubt: str = "",
    behind: Sequence[Actor] = (),
) -> policy.Facts:
    """The facts for one proposal, as healing has stored them. `doubt`: why Alertmanager could not be asked; `behind`: who is to
    be trusted for it."""
    standing = Record.objects.filter(diagnosis=diagnosis, playbook=playbook).first()
    allowed, why = trust.autonomy(standing.standing if standing else trust.Standing(), impact, at)
    inside, window, opens_at = window_at(service.name, impact, at, world.windows)
    return policy.Facts(
        global_mode=global_mode(),
        service_mode=Mode(service.mode),
        kill_switch=world.kill_switch,
        level=world.level,
        blast_radius=graph.blast_radius(world.graph, service.name),
        in_window=inside,
        window=window,
        autonomous=allowed,
        autonomy=why,
        storm=world.storm,
        failing=_failing(playbook, at),
        distrust=distrust(behind, at),
        debt=debt.stopped(service, diagnosis),
        alertmanager=doubt,
        autoapprove_low_risk=settings.SELF_HEAL_AUTOAPPROVE_LOW_RISK,
        opens_at=opens_at,
    )


def window_at(service: str, impact: Impact, at: datetime, calendars: tuple[Calendar, ...] | None = None) -> State:
    """Whether the service may be changed with this impact at `at`, by windows and freezes, and when next.

    `calendars`: those in force, where they were read already.
    """
    return state(windows.in_force() if calendars is None else calendars, service, impact, at, windows.default())
