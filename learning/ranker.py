"""What the ranker knows: weights of runs, kept by the follower, and the recorded history for whoever judges it.

Rules that this module keeps:
1. A question costs its playbooks, whatever was recorded: three rows of each, by their key.
2. A run counts as a success when it held, and against a playbook as it does for its autonomy (`selfheal.scores.verdict_on`): what
   a person or the kill switch ended says nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random

from learning.models import Course, Lesson, Weight
from selfheal import ranking
from selfheal.lessons import Status
from selfheal.ranking import Key, Place, Question, Ranker, Trial, keys_of

MOST = 100_000  # of the newest runs


def advise(question: Question) -> list[Place]:
    """The playbooks in the order in which to try them."""
    known = _known(question.playbooks, [question.diagnosis], [question.service])
    chance = Random(question.seed)  # noqa: S311 - nothing is kept secret by it
    return Ranker(weights=known).rank(question.playbooks, question.diagnosis, question.service, question.at, chance)


def remember(trials: Sequence[Trial]) -> None:
    """Let these runs count, in the order in which they are given. Called in the transaction of whoever read them."""
    if not trials:
        return
    known = _known(*({getattr(trial, name) for trial in trials} for name in ("playbook", "diagnosis", "service")))
    ranker = Ranker(weights=known)
    for trial in trials:
        ranker.see(trial)
    keys = {key for trial in trials for key in keys_of(trial.playbook, trial.diagnosis, trial.service)}
    Weight.objects.bulk_create(
        [_row(key, ranker.weights[key]) for key in sorted(keys)],
        update_conflicts=True,
        unique_fields=["playbook", "diagnosis", "service"],
        update_fields=["succeeded", "failed", "at"],
    )


def history() -> list[Trial]:
    """The newest runs that started and are over, in the order in which they started."""
    over = Course.objects.filter(ended_at__isnull=False).order_by("-started_at")
    rows = list(over.values_list("run", "started_at", "playbook", "diagnosis", "service", "held")[:MOST])
    helped = set(Lesson.objects.filter(status=Status.SUCCEEDED).order_by("-index").values_list("run", flat=True)[:MOST])
    return [
        Trial(at, playbook, diagnosis, service, run in helped and held is not False)
        for run, at, playbook, diagnosis, service, held in reversed(rows)
        if at
    ]


def _known(playbooks: Collection[str], diagnoses: Collection[str], services: Collection[str]) -> dict[Key, ranking.Weight]:
    rows = Weight.objects.filter(playbook__in=playbooks, diagnosis__in=["", *diagnoses], service__in=["", *services])
    return {
        tuple(filter(None, (row.playbook, row.diagnosis, row.service))): ranking.Weight(row.succeeded, row.failed, row.at)
        for row in rows
    }


def _row(key: Key, weight: ranking.Weight) -> Weight:
    assert weight.at  # it has seen something
    playbook, diagnosis, service = (*key, "", "")[:3]
    return Weight(
        playbook=playbook, diagnosis=diagnosis, service=service,
        succeeded=weight.succeeded, failed=weight.failed, at=weight.at,
    )  # fmt: skip
