"""What would have run on a service that is only observed: what people say of it, and the score of a playbook, which is advice.

Rules that this module keeps:
1. A person's word is an entry of the log. Whoever keeps the score reads it there: nothing here changes by it.
2. The score is read by the dotted path SHADOW_SCORE. Without one a playbook has none.
"""

from __future__ import annotations

import logging
import uuid
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string

from healing.models import Run, User
from healing.transitions import record
from selfheal.errors import Conflict, Invalid, NotAllowed
from selfheal.shadow import Judgement, would_run

logger = logging.getLogger(__name__)

PERMISSION = "healing.operate"
MAX_NOTE = 2_000


def is_shadow(run: Run) -> bool:
    """Whether nothing but the mode kept it from running, or from being asked about."""
    return run.started_at is None and run.outcome is not None and would_run(run.decision) is not None


def score_of(playbook: str) -> Any:
    """Of a playbook by its name: {tally, of, courses}, as `learning.shadow` has it; None: nobody keeps one, or it cannot be read.

    Advice that fails takes no page away.
    """
    try:
        return import_string(settings.SHADOW_SCORE)(playbook) if settings.SHADOW_SCORE else None
    except Exception:
        logger.exception("the shadow score of %s cannot be read", playbook)
        return None


def say(run_id: uuid.UUID, judgement: str, note: str, user: User, at: datetime) -> None:
    """What a person says that it would have done. The last word counts.

    Raises NotAllowed (role), Invalid naming the field, Conflict for a run that is no shadow, Run.DoesNotExist.
    """
    if not user.has_perm(PERMISSION):
        raise NotAllowed("this needs the role operator")
    if judgement not in list(Judgement):
        raise Invalid(f"is one of {', '.join(Judgement)}", field="judgement")
    if not 0 < len(note.strip()) <= MAX_NOTE or "\x00" in note:
        raise Invalid(f"says why, in 1 to {MAX_NOTE:,} characters", field="reason")
    run = Run.objects.select_related("service", "incident").get(pk=run_id)
    if not is_shadow(run):
        raise Conflict("it is no run that only the mode kept from starting")
    with transaction.atomic():
        record(run, "run.shadow_judged", actor=user.username, reason=note, at=at, payload={"judgement": judgement})
