"""A run over all targets of a service, batch by batch.

    look at every target ──room──> steps, target by target ──> verify each ──> settle ──> look whether there is room …
                          └ none ──> aborted, bounds

Rules that this module keeps:
1. Before the first batch every target is looked at, once, since what is down goes first; before each further target, in a batch
   or at its begin, as many as have to be healthy, those first that were so most recently. Unless enough are, nothing more is
   touched. A person who is asked may take long: after the answer they are looked at again. While the steps of a target run nobody
   looks at the others: to end a step half-way because another target fell ill would leave two of them out.
2. A target whose step fails, or that does not come back, is undone as its steps say; the others stay as they are. One such target
   more than `max_failures`, and the run stops. It succeeds only if every target is done and healthy at the end.
3. How far it is with each target is read from its rows, so whoever takes over touches none twice. A step of which nothing is
   known stops it: that target is looked at, and nothing further is started.
4. Every outcome says which targets are done and which were not touched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, NoReturn

from django.db import transaction
from django.utils import timezone

from healing.models import ApprovalRequest, Run, Step
from healing.runs import steps
from healing.runs.held import CHECK_BOUND_SECONDS, said_of
from healing.runs.runner import Runner
from healing.runs.starting import Lease
from healing.runs.undoing import AFTER_UNDO
from healing.transitions import record
from selfheal.batches import Standing, next_batch, no_room, standing, tally
from selfheal.states import AbortReason, RunStatus, StepStatus

LAST_LOOK = timedelta(seconds=10)  # at a target that was healthy after its batch
WENT_WRONG = (StepStatus.FAILED, StepStatus.TIMED_OUT, StepStatus.SKIPPED, StepStatus.UNKNOWN, StepStatus.ROLLED_BACK)


class Rolling(Runner):
    def __init__(self, run: Run, lease: Lease) -> None:
        super().__init__(run, lease)
        self.chosen: Collection[str] = ()  # the batch that is under way
        self.known: dict[str, bool] = {}  # target → whether it was healthy, the newest look last

    def _symptoms(self) -> list[dict[str, Any]]:
        """A rolling restart makes sense for a healthy service too: only a symptom that is written down holds it up."""
        checks: list[dict[str, Any]] = self.run.plan["symptom"]
        return checks

    def _work(self) -> None:
        batch = self.run.plan["batch"]
        unknown = self.run.steps.filter(phase="step", status=StepStatus.UNKNOWN).first()
        if unknown:
            self._end_unknown(unknown)
        settle = 0.0
        while True:
            standings = self._standings()
            failed = [target for target, each in standings.items() if each is Standing.FAILED]
            if len(failed) > batch["max_failures"]:
                self._stop_at(failed)
            for target in failed:
                self._put_back(target)
            self._pause(settle)
            self._end_if_stopped()
            chosen, healthy = self._next(standings)
            if not chosen:
                break
            self._enter(chosen, healthy)
            self._do_batch(chosen)
            settle = batch["settle_ms"] / 1000
        self._to(RunStatus.VERIFYING, "every batch is done")
        self._verify()

    def _next(self, standings: Mapping[str, Standing]) -> tuple[list[str], set[str]]:
        """The batch that comes next, and the targets that are healthy; no batch: it is over, and nobody is looked at."""
        size, first = self.run.plan["batch"]["size"], not self.known
        if not next_batch(standings, (), size):
            return [], set()
        if first:
            for target in self.run.plan["targets"]:
                self._is_healthy(target, timedelta(0))
        healthy = {target for target, well in self.known.items() if well}
        chosen = next_batch(standings, healthy, size)
        return chosen, healthy if first else self._healthy_beside(chosen)

    def _enter(self, chosen: list[str], healthy: Collection[str]) -> None:
        """Write down that a batch begins, or end the run because there is no room for it."""
        least, at = self.run.plan["batch"]["min_healthy"], timezone.now()
        refused = no_room(chosen, healthy, least)
        payload = {"batch": chosen, "healthy": sorted(healthy), "min_healthy": least}
        with transaction.atomic():
            steps.renew(self.lease, at)
            record(self.run, "run.batch", actor=self.lease.holder, reason=refused, at=at, payload=payload)
        if refused:
            self._finish(RunStatus.ABORTED, refused, AbortReason.BOUNDS)

    def _confirmed(self, row: Step, planned: Mapping[str, Any]) -> ApprovalRequest | None:
        request = super()._confirmed(row, planned)
        if request:
            refused = self._no_room()
            if refused:
                self._finish(RunStatus.ABORTED, f"{refused}, since {row.name} was asked about", AbortReason.BOUNDS)
        return request

    def _no_room(self) -> str:
        """Empty, or why no target of the batch may be touched now."""
        return no_room(self.chosen, self._healthy_beside(self.chosen), self.run.plan["batch"]["min_healthy"])

    def _do_batch(self, chosen: list[str]) -> None:
        """The steps on each target, then a look at each. A failure that is one too many ends the steps, not the looks; so does a
        target outside that fell ill meanwhile: those that wait still come back with the next batch, if there is room for it."""
        self.chosen, planned = chosen, defaultdict(list)
        for row, step in self._planned():
            planned[row.target].append((row, step))
        left = self.run.plan["batch"]["max_failures"] - list(self._standings().values()).count(Standing.FAILED)
        stepped = []
        for target in chosen:
            if target != chosen[0] and self._no_room():
                break
            if all(self._done(row, step) for row, step in planned[target]):
                stepped.append(target)
                continue
            self._end_if_stopped()
            left -= 1
            if left < 0:
                break
        for target in stepped:
            self._verified(target)
            self._end_if_stopped()

    # -- how far it is

    def _standings(self) -> dict[str, Standing]:
        rows: dict[str, dict[str, list[Step]]] = {target: {"step": [], "verify": []} for target in self.run.plan["targets"]}
        for row in self.run.steps.filter(phase__in=("step", "verify")).order_by("position"):
            rows[row.target][row.phase].append(row)
        return {
            target: standing(
                [row.status for row in each["step"]],
                [row.status for row in each["verify"]],
                len(self._checks(target)),
                touched=any(row.attempt for row in each["step"]),
            )
            for target, each in rows.items()
        }

    def _tally(self) -> str:
        return f"; {tally(self._standings())}"

    def _why(self, target: str) -> str:
        """What went wrong with a target, from its first row that tells."""
        rows = self.run.steps.filter(target=target, phase__in=("step", "verify"), status__in=WENT_WRONG).exclude(name=AFTER_UNDO)
        row = rows.order_by("phase", "position").exclude(status=StepStatus.ROLLED_BACK).first()
        if row is None:
            return f"{target} was undone"
        return f"{target} {f'did not come back: {row.action} {row.message}' if row.phase == 'verify' else said_of(row)}"

    # -- looking

    def _checks(self, target: str) -> list[tuple[int, Mapping[str, Any]]]:
        """What says whether a target is healthy: the verification, or the symptom where there is none."""
        checks = self.run.plan["verify"] or self.run.plan["symptom"]
        return [(position, check) for position, check in enumerate(checks) if check["target"] == target]

    def _healthy_beside(self, chosen: Collection[str]) -> set[str]:
        """Healthy targets that are not in the batch, looked at until there are as many as there have to be."""
        lately = [target for target in reversed(self.known) if self.known[target]]
        healthy: set[str] = set()
        for target in dict.fromkeys([*lately, *self.run.plan["targets"]]):
            if len(healthy) >= self.run.plan["batch"]["min_healthy"]:
                break
            if target not in chosen and self._is_healthy(target, timedelta(0)):
                healthy.add(target)
        return healthy

    def _note(self, target: str, well: bool) -> bool:
        self.known.pop(target, None)
        self.known[target] = well
        return well

    def _is_healthy(self, target: str, most: timedelta) -> bool:
        """Look without a row of its own: the entry of the batch, or the outcome, tells of it."""
        for position, check in self._checks(target):
            row = Step(
                run=self.run,
                phase="verify",
                position=position,
                target=target,
                name=check["check"],
                action=check["check"],
                arguments=check["with"],
                bound_seconds=CHECK_BOUND_SECONDS,
                idempotency_key=f"{self.run.pk}:look:{position}",
            )
            within = min(most, timedelta(milliseconds=check["within_ms"])).total_seconds()
            launched = self._watch(row, within, check["every_ms"] / 1000)
            self._end_if_stopped()
            if steps.judge(launched)[0] is not StepStatus.SUCCEEDED:
                return self._note(target, False)
        return self._note(target, True)

    def _verified(self, target: str) -> bool:
        checks = self._checks(target)
        well = all(self._look(check, "verify", n, timedelta(milliseconds=check["within_ms"])) for n, check in checks)
        return self._note(target, well)

    def _verify(self) -> None:
        """Every target is done; whether each is healthy at the end is seen once more."""
        failed = [target for target, each in self._standings().items() if each is not Standing.DONE]
        unwell = [
            target for target in self.run.plan["targets"] if target not in failed and not self._is_healthy(target, LAST_LOOK)
        ]
        if failed or unwell:
            said = [*map(self._why, failed), *(f"{target} did not stay healthy" for target in unwell)]
            self._finish(RunStatus.FAILED, "; ".join(said))
        self._finish(RunStatus.SUCCEEDED, "verified")

    # -- ending

    def _stop_at(self, failed: list[str]) -> NoReturn:
        """Too many targets failed: undo what is to be undone on them, and touch nothing more."""
        reason = "; ".join(map(self._why, failed))
        if not any(self._is_left(target) for target in failed):
            self._undo(reason, failed)
        if self._undoable(failed):
            self._undo(f"{reason}; what says `on_fail: stop` is left as it is", failed)
        self._finish(RunStatus.FAILED, f"{reason}; the playbook says to stop and leave it as it is")

    def _put_back(self, target: str) -> None:
        """Undo one target whose failure does not stop the run."""
        undone = [self._undo_one(row, undo) for row, undo in self._undoable([target])]
        self._end_if_stopped()
        if False in undone:
            self._finish(RunStatus.FAILED, f"{self._why(target)}; the undo failed as well, a person has to look")
        if True in undone:
            self._look_again([target])
            self._end_if_stopped()

    def _end_unknown(self, row: Step) -> NoReturn:
        """Nobody knows what became of a step: its target is looked at, and a person has to look at the rest."""
        reason = f"step {row.name} on {row.target} is unknown: {row.message}"
        well = self._verified(row.target)
        self._end_if_stopped()
        if not well:
            self._undo(f"{reason}, and {row.target} is not healthy", [row.target])
        self._finish(RunStatus.FAILED, f"{reason}; {row.target} is healthy, and nothing further was touched")

    def _undoable(self, targets: Collection[str] | None = None) -> list[tuple[Step, Mapping[str, Any]]]:
        """On `targets`, or on those that are begun or failed; never what a step says to leave as it is."""
        if targets is None:
            targets = [t for t, each in self._standings().items() if each in (Standing.BEGUN, Standing.FAILED)]
        return super()._undoable([target for target in targets if not self._is_left(target)])

    def _is_left(self, target: str) -> bool:
        """Whether the step that failed on a target says `on_fail: stop`."""
        wrong = (StepStatus.FAILED, StepStatus.TIMED_OUT, StepStatus.SKIPPED)
        return any(
            row.target == target and row.status in wrong and planned["on_fail"] == "stop" for row, planned in self._planned()
        )
