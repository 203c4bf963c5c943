"""What is slow to work out about a run, worked out before the lock that all claims share; under it there is only comparing.

Rules that this module keeps:
1. What was foreseen counts for exactly the same input: the stored plan, the playbook's digest, every fact that a plan is made of.
   What differs is worked out anew, under the lock. So a change that came in between is seen as if nothing had been foreseen.
2. It refuses nothing. Whoever starts a run does, from the rows as they are under the lock.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from healing import catalog, proposals
from healing.models import Incident, Run
from selfheal.canonical import digest
from selfheal.errors import Invalid, NotApplicable
from selfheal.playbooks import Facts, resolve
from selfheal.states import ACTIVE_RUN, RunStatus


class Foreseen:
    """The last answer to each of two questions, kept with what was asked."""

    def __init__(self) -> None:
        self._stored, self._digest = "", ""
        self._asked: tuple[str, Facts] | None = None
        self._plan: dict[str, Any] = {}
        self._digest_of_plan = ""

    def is_sound(self, run: Run) -> bool:
        """Whether the stored plan of the run is the one that was decided on: it has the run's digest."""
        stored = json.dumps(run.plan, sort_keys=True)
        if stored != self._stored:
            self._stored, self._digest = stored, _digest(run.plan)
        return self._digest == run.digest

    def plan_now(self, run: Run, incident: Incident) -> tuple[dict[str, Any], str]:
        """The plan that the run's playbook gives now, and its digest. Raises NotApplicable, Invalid."""
        facts = proposals.what_a_plan_is_made_of(incident, run.playbook, run.decision.get("given", {}))
        asked = (run.playbook.digest, replace(facts, gathered=run.plan.get("gathered", {})))
        if asked != self._asked:
            self._plan = resolve(catalog.document_of(run.playbook), asked[1], proposals.VOCABULARY)
            self._asked, self._digest_of_plan = asked, digest(self._plan)
        return self._plan, self._digest_of_plan


def foresee(run_id: uuid.UUID) -> Foreseen:
    """Ask both about a run that may be claimed; called outside a transaction."""
    found = Foreseen()
    wanted = Run.objects.filter(pk=run_id, status__in=(RunStatus.QUEUED, *ACTIVE_RUN))
    run = wanted.select_related("incident__service", "playbook").first()
    if run is None or not found.is_sound(run) or run.incident is None or run.status != RunStatus.QUEUED:
        return found
    with suppress(NotApplicable, Invalid):  # whoever starts it asks again, and says so
        found.plan_now(run, run.incident)
    return found


def _digest(plan: Mapping[str, Any]) -> str:
    """The digest of a plan; none of what can be no plan."""
    try:
        return digest(plan)
    except Invalid:
        return ""
