"""Which advisers are switched off, and why. Advice comes from above; that it is missing is known here, where people look.

Rules that this module keeps:
1. Switching an adviser off, and on again, has its entry in the log. Counting failures has none.
2. Of several workers one tries an adviser whose time is over: the others leave it alone for `TRIAL`.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from healing import ledger
from healing.models import Adviser
from selfheal import breaker
from selfheal.breaker import Standing

ACTOR = "advice"
TRIAL = timedelta(minutes=1)


def standing(name: str) -> Standing:
    row = Adviser.objects.filter(pk=name).first()
    return row.standing if row else Standing()


def known() -> list[Adviser]:
    """Those that have failed since they answered last, or that were off."""
    return list(Adviser.objects.all())


def silent(at: datetime) -> list[str]:
    """The names of those that are not to be asked now: off, or being tried by somebody."""
    return list(Adviser.objects.filter(Q(off_until__gt=at) | Q(tried_until__gt=at)).values_list("name", flat=True))


def begin(name: str, at: datetime) -> bool:
    """Whether the adviser may be called now; if that is its trial, nobody else may meanwhile."""
    before = standing(name)
    if before.state(at) != "trial":
        return before.state(at) == "on"
    free = Q(tried_until=None) | Q(tried_until__lte=at)
    return bool(Adviser.objects.filter(free, pk=name, off_until=before.off_until).update(tried_until=at + TRIAL))


def answered(name: str, at: datetime) -> None:
    """It gave an answer: it is on, and nothing stands against it."""
    if standing(name) == Standing():
        return
    with transaction.atomic():
        row = _locked(name)
        was = row.standing
        _write(row, Standing())
        if was.off_until:
            _log("adviser.switched_on", name, {"reason": "it has answered on trial"}, at)


def failed(name: str, reason: str, at: datetime) -> None:
    """It raised, or took too long."""
    with transaction.atomic():
        row = _locked(name)
        before = row.standing
        after = breaker.failed(before, reason, at)
        _write(row, after)
        if after.off_until and after.off_until != before.off_until:
            payload = {"reason": after.reason, "until": after.off_until.isoformat(), "failures": after.failures}
            _log("adviser.switched_off", name, payload, at)


def _locked(name: str) -> Adviser:
    return Adviser.objects.select_for_update().get_or_create(pk=name)[0]


def _write(row: Adviser, after: Standing) -> None:
    before = asdict(row.standing)
    changed = {name: value for name, value in asdict(after).items() if value != before[name]}
    Adviser.objects.filter(pk=row.pk).update(**changed, tried_until=None)


def _log(action: str, name: str, payload: dict[str, object], at: datetime) -> None:
    ledger.append(actor=ACTOR, action=action, resource=f"adviser:{name}", payload=payload, at=at)
