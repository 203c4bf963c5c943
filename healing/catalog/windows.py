"""Windows and freezes as rows: from `windows/*.ics` and from the admin.

Rules that this module keeps:
1. What a file declares is changed in the file alone. A file that is gone leaves its row inactive, for the history.
2. Nothing is stored that was not read: a calendar with a fault is refused with its line.
3. Every change has its entry, in its transaction: who, why, before and after. Runs that wait for an opening are looked at again.
4. No directory `windows` at all is not an empty one: it removes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from django.conf import settings
from django.db import transaction

from healing import ledger
from healing.models import Run, Service, Window
from healing.windows import with_services
from selfheal.errors import Conflict, Invalid, InvalidDocument, TooLarge
from selfheal.states import Impact, RunStatus
from selfheal.windows import Declared, read_calendar, read_file

from .reading import shown, text_of
from .services import lock, told

MAX_FILES = 200
MAX_NAME = 100
MAX_REASON = 2_000
BY_FILE = "its file says so"


class Count(Protocol):
    """Where a sync notes the names of what became different."""

    created: list[str]
    changed: list[str]
    removed: list[str]
    unchanged: int


def read_windows(config_dir: Path) -> tuple[list[Declared] | None, list[Invalid]]:
    """What the files declare (None: there is no directory), and every fault in them."""
    place = config_dir / "windows"
    if not place.is_dir():
        return None, []
    paths = sorted(path for path in place.iterdir() if path.suffix == ".ics" and not path.name.startswith("."))
    if len(paths) > MAX_FILES:
        return [], [TooLarge(f"holds {len(paths)} calendars; at most {MAX_FILES} are read", file=shown(place), line=1, column=1)]
    return read_files(paths)


def read_files(paths: Iterable[Path]) -> tuple[list[Declared], list[Invalid]]:
    """What these files declare, and every fault in them."""
    declared: list[Declared] = []
    faults: list[Invalid] = []
    for path in paths:
        try:
            declared.append(_read(path))
        except InvalidDocument as fault:
            faults += fault.errors
        except Invalid as fault:
            faults.append(fault)
    return declared, faults


def _read(path: Path) -> Declared:
    if len(path.stem) > MAX_NAME:
        raise TooLarge(f"a window's name has at most {MAX_NAME} characters", file=shown(path), line=1, column=1)
    return read_file(path.stem, text_of(path), shown(path), settings.SELF_HEAL_TIME_ZONE)


def sync_windows(declared: Sequence[Declared], tally: Count, at: datetime, actor: str) -> list[str]:
    """Make the rows what the files say; lines about what cannot be (then nothing may be kept). Whoever calls holds the lock."""
    rows = {row.name: row for row in with_services()}
    known = dict(Service.objects.filter(active=True).values_list("name", "pk"))
    wrong = [line for each in declared for line in _cannot(each, rows.get(each.name), known)]
    if wrong:
        return wrong
    for each in declared:
        _sync_one(each, rows.get(each.name), known, tally, at, actor)
    named = {each.name for each in declared}
    for row in rows.values():
        if row.path and row.active and row.name not in named:
            before = window_document(row)
            row.active, row.path = False, ""
            row.save(update_fields=["active", "path"])
            _changed("window.removed", row.name, before, window_document(row), "its file is gone", at, actor)
            tally.removed.append(row.name)
    return []


def _cannot(each: Declared, row: Window | None, known: Mapping[str, Any]) -> list[str]:
    wrong = [(f"there is no service {name!r}", each.services_line) for name in each.services if name not in known]
    if row and row.active and not row.path:
        wrong.append((f"a {row.kind} {row.name!r} was made in the admin: give the file another name, or end that one", 1))
    return [f"{each.path}:{line}:1: {said}" for said, line in wrong]


def _sync_one(each: Declared, row: Window | None, known: Mapping[str, Any], tally: Count, at: datetime, actor: str) -> None:
    before = window_document(row) if row else None
    after = {
        "name": each.name,
        "kind": each.kind,
        "calendar": each.calendar,
        "time_zone": each.time_zone,
        "services": sorted(set(each.services)),
        "impacts": [str(impact) for impact in Impact if impact in each.impacts],
        "active": True,
        "path": each.path,
    }
    if before == after:
        tally.unchanged += 1
        return
    _store(row or Window(), after, [known[name] for name in each.services])
    alive = bool(before and before["active"])
    _changed("window.changed" if alive else "window.created", each.name, before, after, BY_FILE, at, actor)
    (tally.changed if alive else tally.created).append(each.name)


def save_window(row: Window | None, said: Mapping[str, Any], reason: str, actor: str, at: datetime) -> Window:
    """Make a window or freeze, or change one, as `said`: {name, kind, calendar, time_zone, services: [names], impacts}.

    Raises Invalid with the field or the line of the calendar, Conflict for a name that is taken or a row that a file declares.
    """
    _check_reason(reason)
    read_calendar(said["name"], said["kind"], said["calendar"], said["time_zone"])
    with transaction.atomic():
        lock()
        row = _fresh(row)
        taken = Window.objects.filter(name=said["name"]).first()
        if taken and taken != row:
            raise Conflict(f"there is a window or freeze {said['name']!r} already")
        before = window_document(row) if row else None
        services = {service.name: service.pk for service in Service.objects.filter(name__in=said["services"])}
        missing = sorted(set(said["services"]) - set(services))
        if missing:
            raise Invalid(f"there is no service {missing[0]!r}", field="services")
        after = {
            **{key: said[key] for key in ("name", "kind", "calendar", "time_zone")},
            "services": sorted(services),
            "impacts": [str(impact) for impact in Impact if impact in said["impacts"]],
            "active": row.active if row else True,
            "path": "",
        }
        if before == after and row:
            return row
        row = row or Window()
        _store(row, after, list(services.values()))
        _changed("window.changed" if before else "window.created", row.name, before, after, reason, at, actor)
    return row


def set_window_active(row: Window, active: bool, reason: str, actor: str, at: datetime) -> None:
    """End a window or freeze, or put it in force again. Raises Conflict if it is so already, or a file declares it."""
    _check_reason(reason)
    with transaction.atomic():
        lock()
        fresh = _fresh(row)
        if fresh is None or fresh.active == active:
            raise Conflict(f"{row.name} is {'in force' if active else 'not in force'} already")
        before = window_document(fresh)
        fresh.active = active
        fresh.save(update_fields=["active"])
        action = "window.changed" if active else "window.removed"
        _changed(action, fresh.name, before, window_document(fresh), reason, at, actor)


def window_document(row: Window) -> dict[str, Any]:
    """A row in full, as the log holds it."""
    return {
        "name": row.name,
        "kind": row.kind,
        "calendar": row.calendar,
        "time_zone": row.time_zone,
        "services": sorted(service.name for service in row.services.all()),
        "impacts": [str(impact) for impact in Impact if impact in row.impacts],
        "active": row.active,
        "path": row.path,
    }


def _fresh(row: Window | None) -> Window | None:
    """The row as it stands behind the lock. Raises Conflict if a file declares it."""
    if row is None:
        return None
    fresh = with_services().get(pk=row.pk)
    if fresh.path:
        raise Conflict(f"{fresh.name} is declared in {fresh.path}: change it there")
    return fresh


def _store(row: Window, document: Mapping[str, Any], services: Sequence[Any]) -> None:
    for name in ("name", "kind", "calendar", "time_zone", "impacts", "active", "path"):
        setattr(row, name, document[name])
    row.save()
    row.services.set(services)


def _check_reason(reason: str) -> None:
    if not 0 < len(reason.strip()) <= MAX_REASON:
        raise Invalid(f"says why it is changed, in 1 to {MAX_REASON:,} characters", field="reason")


def _changed(action: str, name: str, before: Any, after: Any, reason: str, at: datetime, actor: str) -> None:
    """Write the entry, and have what waits for an opening looked at again: it may be another one now."""
    payload = {"reason": reason, "before": told(before), "after": told(after)}
    ledger.append(actor=actor, action=action, resource=f"window:{name}", payload=payload, at=at)
    Run.objects.filter(status=RunStatus.DEFERRED, due_at__gt=at).update(due_at=at)
