"""Heads leave the house: witnesses sign for them, outside places keep them, each by itself, again and again.

Rules that this module keeps:
1. Each witness and each place has a row, is due by itself, and is claimed before it is tried: one that fails, or takes its time,
   keeps no other waiting, and two workers never try one at once.
2. What was handed over last is remembered in the row and in the home; the log has to go on from both, whatever the row says.
3. What fails is tried again after 1, 2, 4 … minutes, at most after the usual time. It never stops being tried.
4. That the log does not go on from what is elsewhere is an entry, a message to people, and WRONG in the doctor, until it does.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q

from healing import http, ledger
from healing.ledger import exchange, kept, selectors
from healing.ledger.kept import Refused
from healing.models import LedgerCosignature, LedgerHead, LedgerPlace
from healing.notifications import links
from healing.notifications.writing import listening, tell
from selfheal.errors import SelfhealError
from selfheal.messages import Facts
from selfheal.outside import Kind, Place, parse_place, parse_witness

logger = logging.getLogger(__name__)

EVERY = 60  # seconds between two looks at what is due
CLAIMED = timedelta(minutes=2)  # after which one whose worker died is tried again
MINUTE = timedelta(minutes=1)
MOST_ERROR = 500  # characters


def configured() -> list[Place]:
    """Witnesses first: what they sign goes along with what is pushed then."""
    return [*map(parse_witness, settings.SELF_HEAL_LOG_WITNESSES), *map(parse_place, settings.SELF_HEAL_LOG_PUSH)]


def interval() -> timedelta:
    return timedelta(minutes=settings.SELF_HEAL_LOG_PUSH_MIN)


def rows(at: datetime) -> list[tuple[Place, LedgerPlace]]:
    """What is configured, with its row; a new one is due at once."""
    places = configured()
    if not places:
        return []
    names = [place.name for place in places]
    known = LedgerPlace.objects.in_bulk(names)
    new = [LedgerPlace(name=place.name, kind=place.kind, due_at=at) for place in places if place.name not in known]
    LedgerPlace.objects.bulk_create(new, ignore_conflicts=True)
    known |= {row.name: row for row in new}
    return [(place, known[place.name]) for place in places]


def due(at: datetime) -> Iterator[str]:
    """The names of those that are due. A place waits for a witness that was not asked since the place is due."""
    found = [(place, row) for place, row in rows(at) if row.due_at <= at]
    asked_first = [row for place, row in found if place.kind is Kind.WITNESS]
    for place, row in found:
        others = [] if place.kind is Kind.WITNESS else asked_first
        if all(other.tried_at is not None and other.tried_at >= row.due_at for other in others):
            yield row.name


def push(name: str, at: datetime, *, now: bool = False) -> LedgerPlace | None:
    """Try one, if it is configured and due, or `now`; its row afterwards. None: somebody else does, or there is nothing to do."""
    place = next((each for each in configured() if each.name == name), None)
    if place is None:
        return None
    mine = LedgerPlace.objects.filter(pk=name) if now else LedgerPlace.objects.filter(pk=name, due_at__lte=at)
    if not mine.update(tried_at=at, due_at=at + CLAIMED):
        return None
    row = LedgerPlace.objects.get(pk=name)
    try:
        head = _next_head(place, row, at)
        if head is None:
            _succeeded(row, at)
        else:
            _hand_over(place, row, head, at)
    except Refused as error:
        _failed(row, str(error), at, refused=True)
    except (SelfhealError, http.Unreachable, OSError, UnicodeDecodeError) as error:
        _failed(row, str(error), at, refused=False)
    return LedgerPlace.objects.get(pk=name)


def _next_head(place: Place, row: LedgerPlace, at: datetime) -> LedgerHead | None:
    """The head to hand over; None: it has the last one. A place is given a witnessed one, if that is new and not old.

    Raises Refused if the log does not go on from what was handed over last.
    """
    head = selectors.last_head()
    for note in filter(None, {row.note, _remembered(place.name)}):
        if head is None:
            raise Refused(f"the log was rolled back: it is empty, and {place.name} was given a head of it")
        kept.goes_on(note, f"what {place.name} was given", head.note)
    witnessed = None if place.kind is Kind.WITNESS else selectors.last_witnessed()
    if witnessed and witnessed.size > row.size and witnessed.at > at - 2 * interval():
        return witnessed
    return head if head and head.size > row.size else None


def _hand_over(place: Place, row: LedgerPlace, head: LedgerHead, at: datetime) -> None:
    if place.witness is None:
        exchange.hand_over(place, head.size, selectors.witnessed(head))
    else:
        signed = exchange.cosign(place, place.witness, row.size, head.size, head.note)
        LedgerCosignature.objects.bulk_create(
            [
                LedgerCosignature(
                    head=head,
                    witness=place.witness.name,
                    key_id=place.witness.key_id,
                    at=datetime.fromtimestamp(min(signed.time, 1 << 37), UTC),
                    line=signed.line,
                )
            ],
            ignore_conflicts=True,
        )
    _remember(place.name, head.note)
    row.size, row.note = head.size, head.note
    _succeeded(row, at)


def _succeeded(row: LedgerPlace, at: datetime) -> None:
    good = {"size": row.size, "note": row.note, "succeeded_at": at, "error": "", "failures": 0, "refused": False}
    LedgerPlace.objects.filter(pk=row.pk).update(due_at=at + interval(), **good)


def _failed(row: LedgerPlace, error: str, at: datetime, *, refused: bool) -> None:
    wait = min(MINUTE * 2 ** min(row.failures, 20), max(interval(), MINUTE))
    logger.log(logging.ERROR if refused else logging.WARNING, "log: %s: %s", row.name, error)
    with transaction.atomic():
        mine = LedgerPlace.objects.filter(pk=row.pk)
        news = refused and mine.filter(refused=False).exists()
        mine.update(error=error[:MOST_ERROR], due_at=at + wait, failures=F("failures") + 1)
        if news:
            mine.update(refused=True)
            payload = {"place": row.name, "reason": error[:MOST_ERROR]}
            ledger.append(
                actor="log", action="log.refused", resource=f"place:{row.name}", payload=payload, subsystem="ledger", at=at
            )
            if listening():
                facts = Facts(what=row.name, why=error[:MOST_ERROR], link=links.address("index"))
                tell("log.refused", facts, subject=f"place:{row.name}", at=at)


def failing() -> list[LedgerPlace]:
    """Of those that are configured, the ones whose last try failed, or that the log does not go on from."""
    names = [place.name for place in configured()]
    return list(LedgerPlace.objects.filter(Q(refused=True) | ~Q(error=""), pk__in=names)) if names else []


def _remember(name: str, note: str) -> None:
    """A home that cannot be written costs only the second memory: the row has it too."""
    path = _file(name)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(note)
        fresh.replace(path)
    except OSError as error:
        logger.warning("log: what %s was given is not remembered in the home: %s", name, error)


def _remembered(name: str) -> str:
    try:
        return _file(name).read_text()
    except FileNotFoundError:
        return ""


def _file(name: str) -> Path:
    home: Path = settings.SELF_HEAL_HOME
    return home / "pushed" / f"{sha256(name.encode()).hexdigest()[:24]}{kept.SUFFIX}"
