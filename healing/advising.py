"""In which order playbooks are tried: advice of whatever the settings name (PLAYBOOK_ORDER), or the fixed order.

Rules that this module keeps:
1. The adviser is loaded by its dotted path: nothing here knows it, and without one everything goes on.
2. Whatever is wrong with it, the fixed order stands, and the account of the choice says why: there is none, it failed, it
   answered with something else, or it took too long. One that was slow or failed is not asked again in the same look.
3. Advice is followed only where SELF_HEAL_RANKER is `sampling`. Until then it is written down, in shadow.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from django.conf import settings
from django.utils.module_loading import import_string

from healing.models import Incident
from selfheal import choices
from selfheal.choices import Candidate, Order
from selfheal.ranking import Place, Question

logger = logging.getLogger(__name__)

SECONDS = 1.0  # an answer that takes longer is not waited for again
NONE = "nobody gives advice: PLAYBOOK_ORDER names nothing"


class Adviser:
    """Asked during one look. `clock`: seconds that only go forward."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.silent = ""  # why it is not asked any more

    def order(self, incident: Incident, candidates: Sequence[Candidate], at: datetime) -> Order:
        """The order in which `candidates`, which are in the fixed order, are tried for the incident."""
        if len(candidates) < 2:
            return Order(tuple(candidates))
        if not settings.PLAYBOOK_ORDER or self.silent:
            return Order(tuple(candidates), fallback=self.silent or NONE)
        began = self.clock()
        order = self._asked(incident, candidates, at)
        if (took := self.clock() - began) > SECONDS:
            self.silent = f"the adviser took {took:.1f} s, more than {SECONDS:g} s"
        return Order(tuple(candidates), fallback=self.silent) if self.silent or order is None else order

    def _asked(self, incident: Incident, candidates: Sequence[Candidate], at: datetime) -> Order | None:
        """What it says; None where it failed, which `silent` tells."""
        names = tuple(each.playbook for each in candidates)
        question = Question(incident.service.name, incident.diagnosis, names, seed_of(incident), at)
        try:
            places: list[Place] = import_string(settings.PLAYBOOK_ORDER)(question)
            return choices.advised(candidates, places, settings.SELF_HEAL_RANKER, question.seed)
        except Exception as error:
            logger.exception("the adviser %s failed", settings.PLAYBOOK_ORDER)
            self.silent = f"the adviser failed: {type(error).__name__}: {str(error)[:200]}"
            return None


def seed_of(incident: Incident) -> str:
    """What the draws depend on: the incident, and how many proposals it had. Both stand in the log."""
    return f"{incident.pk}/{incident.runs.count()}"
