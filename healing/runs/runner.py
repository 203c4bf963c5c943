"""One run, from its claim to its outcome, on a worker of its own.

    gathered again, symptom ──> steps ──all done──> verify ──ok──> succeeded
                                  │ failed             │ failed
                                  └── undo (what was done, in reverse) ──> rolled_back | failed

Rules that this module keeps, beside those of `held` and `undoing`:
1. A step that was running when its worker died runs again only if its action says so; else it is `unknown`, nothing further is
   started, and the verification decides. It cannot make a success of a run that left steps undone: a person has to look.
2. Nothing is begun unless what was gathered for the decision is still so, and what is to be healed is still unwell.
3. While a person is asked (`confirm`), the run's deadline stands still. No answer, and no, leave everything as it is.

A run over all targets of a service goes batch by batch: `healing.runs.rolling`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, NoReturn

from django.db import transaction
from django.utils import timezone

from healing.actions import ACTIONS
from healing.checks import CHECKS
from healing.gathering import value_of
from healing.launcher import Launched
from healing.log_context import about
from healing.looking import Seen
from healing.models import ApprovalRequest, Run, Step
from healing.runs import confirming, steps
from healing.runs.held import Over, said_of
from healing.runs.starting import Lease
from healing.runs.steps import LeaseLost, Work
from healing.runs.undoing import Undoing
from healing.transitions import move
from selfheal import changes
from selfheal.errors import NotApplicable
from selfheal.states import AbortReason, RunStatus, StepStatus

logger = logging.getLogger(__name__)


def execute(lease: Lease) -> None:
    """Work on a claimed run until it is over or the lease is lost."""
    from healing.runs.rolling import Rolling

    run = Run.objects.select_related("service", "incident").get(pk=lease.run_id)
    with about(run=run.pk, incident=run.incident_id):
        what = f"{run.plan['playbook']} on {run.service.name}/{run.target}"
        logger.info("%s is %s", what, "taken over" if lease.recovered else "begun")
        try:
            (Rolling if run.plan.get("batch") else Runner)(run, lease).go()
        except LeaseLost as lost:
            logger.warning("%s", lost)
        else:
            logger.info("%s is over: %s", what, Run.objects.values_list("status", flat=True).get(pk=run.pk))


class Runner(Undoing):
    def go(self) -> None:
        steps.plan_steps(self.run)
        if self.lease.recovered:
            self._settle_lost_steps()
        with suppress(Over):
            if self.run.status == RunStatus.RUNNING:
                self._begin()
                self._work()
            elif self.run.status == RunStatus.VERIFYING:
                self._verify()
            elif self.run.status == RunStatus.ROLLING_BACK:
                self._undo(self.run.reason)

    def _settle_lost_steps(self) -> None:
        for step in self.run.steps.filter(status=StepStatus.RUNNING):
            again = step.action in CHECKS or (step.action in ACTIONS and ACTIONS[step.action].idempotent(step.arguments))
            reason = "its worker died while it ran" + (", and it may run again" if again else "")
            to = StepStatus.PENDING if again else StepStatus.UNKNOWN
            at = timezone.now()
            with transaction.atomic():
                steps.renew(self.lease, at)
                move(step, to, actor=self.lease.holder, at=at, reason=reason, changes={"message": reason})

    # -- before the first step

    def _begin(self) -> None:
        """Nothing is begun for reasons that are gone. A run that has begun is past that."""
        if self.run.steps.filter(phase="step", attempt__gt=0).exists():
            return
        for position, planned in enumerate(self.run.plan.get("gather", ())):
            self._gather_again(position, planned)
        if not self._symptom_is_there():
            self._end_if_stopped()
            self._finish(RunStatus.ABORTED, "every check passes already: there is nothing to heal", AbortReason.SUPERSEDED)

    def _gather_again(self, position: int, planned: Mapping[str, Any]) -> None:
        name = planned.get("action") or planned["check"]
        bound = planned["timeout_ms"] / 1000
        work = Work("gather", position, planned["id"], name, planned["target"], planned["with"], bound)
        row = steps.write_down(self.run, work)
        if row.status == StepStatus.PENDING:
            steps.begin(row, self.lease, timezone.now())
            steps.end(row, steps.perform(self.run, row, self._wake), self.lease)
        self._end_if_stopped()
        seen = Seen(row.status != StepStatus.TIMED_OUT, row.status == StepStatus.SUCCEEDED, row.message, row.stdout, row.result)
        try:
            value = value_of(planned, seen)
        except NotApplicable as error:
            self._finish(RunStatus.ABORTED, f"it does not apply any more: {error}", AbortReason.SUPERSEDED)
        found = changes.changes({planned["id"]: self.run.plan["gathered"][planned["id"]]}, {planned["id"]: value})
        if found:
            said = f"what was gathered for the decision is no longer so: {changes.words(found)[:1000]}"
            self._finish(RunStatus.ABORTED, said, AbortReason.SUPERSEDED)

    def _symptoms(self) -> list[dict[str, Any]]:
        """The checks that must fail now; without any, nothing is held up."""
        checks: list[dict[str, Any]] = self.run.plan["symptom"] or self.run.plan["verify"]
        return checks

    def _symptom_is_there(self) -> bool:
        checks = self._symptoms()
        return not checks or not all(self._look(check, "symptom", n, timedelta(0)) for n, check in enumerate(checks))

    # -- steps

    def _work(self) -> None:
        for row, planned in self._planned():
            if row.status == StepStatus.UNKNOWN:
                break  # nothing further is started: the verification decides
            if not self._done(row, planned):
                self._after_failure(row, planned)
        self._to(RunStatus.VERIFYING, "a step is unknown: the checks decide" if self._not_begun() else "the steps are done")
        self._verify()

    def _not_begun(self) -> list[str]:
        """The steps that wait still: once the checks are asked, those behind one that is unknown."""
        return [row.name for row, _ in self._planned() if row.status == StepStatus.PENDING]

    def _done(self, row: Step, planned: Mapping[str, Any]) -> bool:
        """Whether the step succeeded, now or before."""
        if row.status == StepStatus.PENDING and not self._stop_asked():
            self._do(row, planned, self._confirmed(row, planned))
        return row.status == StepStatus.SUCCEEDED

    def _do(self, row: Step, planned: Mapping[str, Any], answer: ApprovalRequest | None = None) -> None:
        """One step with the retries that its author allows."""
        for left in range(max(planned["retries"]["max"] - row.attempt, 0), -1, -1):
            at = timezone.now()
            with transaction.atomic():
                if answer:
                    confirming.use(answer, self.run, at)
                steps.begin(row, self.lease, at)
            answer = None
            steps.end(row, self._perform(row, planned), self.lease)
            if row.status == StepStatus.SUCCEEDED or self.stopped or not left:
                return
            self._pause(planned["retries"]["delay_ms"] / 1000)
            if self._stop_asked():
                return
            steps.again(row, self.lease, timezone.now())

    def _perform(self, row: Step, planned: Mapping[str, Any]) -> Launched:
        if "check" not in planned:
            return self._act(row)
        within, steady, every = (planned[name] / 1000 for name in ("within_ms", "for_ms", "every_ms"))
        return self._watch(row, within, every, steady=steady, bound=row.bound_seconds)

    def _after_failure(self, row: Step, planned: Mapping[str, Any]) -> NoReturn:
        self._end_if_stopped()
        reason = said_of(row)
        if planned["on_fail"] == "stop":
            self._finish(RunStatus.FAILED, f"{reason}; the playbook says to stop and leave it as it is")
        self._undo(reason)

    # -- asking a person

    def _confirmed(self, row: Step, planned: Mapping[str, Any]) -> ApprovalRequest | None:
        """Wait for the answer that the step needs; None: it needs none. Without a yes the run ends, and leaves all as it is."""
        if not planned.get("confirm") or row.attempt:
            return None
        request = confirming.asked(row, planned["confirm"], self.run, self.lease)
        while not self._stop_asked() and not confirming.answered(request, timezone.now()):
            self._pause(1.0)
        self._end_if_stopped()
        refused = confirming.refused(request, row, self.lease)
        if refused:
            why, words = refused
            self._finish(RunStatus.ABORTED, f"{words}; it is left as it is{self._half_done()}", why)
        return request

    # -- looking

    def _verify(self) -> None:
        for position, check in enumerate(self.run.plan["verify"]):
            if not self._look(check, "verify", position, timedelta(milliseconds=check["within_ms"])):
                self._end_if_stopped()
                self._undo(self._why_unverified(check))
        left = self._not_begun()
        if left:
            said = f"every check passes, but a step is unknown and {', '.join(left)} was not begun: a person has to look"
            self._finish(RunStatus.FAILED, said)
        said = "verified" if self.run.plan["verify"] else "done; the playbook has no verification"
        self._finish(RunStatus.SUCCEEDED, said)

    def _why_unverified(self, check: Mapping[str, Any]) -> str:
        row = self.run.steps.filter(phase="verify", action=check["check"]).order_by("-position").first()
        return f"it did not help: {check['check']} {row.message if row else 'failed'}"
