"""The story of an incident, each line with its index in the log."""

from __future__ import annotations

from dataclasses import dataclass

from healing.ledger import selectors
from healing.models import Incident, TimelineEvent

LINES = 200

# What happened, in words; an action that is not here is shown by its name.
WORDS = {
    "incident.open": "opened",
    "incident.ack": "acknowledged",
    "incident.resolved": "resolved",
    "incident.closed": "closed",
    "incident.comment": "comment",
    "incident.assigned": "assigned",
    "incident.skipped": "nothing was proposed",
    "incident.raised": "is worse",
    "alert.joined": "another alert",
    "alert.ended": "an alert ended",
    "alert.worsened": "an alert is worse",
    "approval.requested": "a person is asked",
    "approval.vote": "vote",
    "approval.approved": "approved",
    "approval.rejected": "rejected",
    "approval.expired": "nobody answered in time",
    "approval.cancelled": "the request was taken back",
    "approval.escalated": "more people were told",
    "run.proposed": "proposed",
    "run.decided": "policy decided",
    "run.held": "it held",
    "run.not_held": "it came back",
}
# The dot of the line: what a person did, what was decided, what ran, what kept it from running.
KINDS = (
    ("person", ("incident.ack", "incident.comment", "incident.assigned", "incident.closed", "approval.vote")),
    ("skip", ("incident.skipped",)),
    ("decision", ("run.decided", "approval.")),
    ("run", ("run.", "step.")),
)


@dataclass(frozen=True)
class Line:
    event: TimelineEvent
    index: int | None  # in the log; None: not yet in it

    @property
    def what(self) -> str:
        action = self.event.action
        return WORDS.get(action, action.replace(".", " ").replace("_", " "))

    @property
    def kind(self) -> str:
        return next((kind for kind, starts in KINDS if self.event.action.startswith(starts)), "alert")

    @property
    def change(self) -> str:
        """`ann → otto` where somebody or something took the place of another; empty for everything else."""
        before, after = self.event.data.get("from"), self.event.data.get("to")
        if self.event.action != "incident.assigned":
            return ""
        return f"{before or 'nobody'} → {after or 'nobody'}"


def timeline_of(incident: Incident) -> list[Line]:
    """The newest lines first, at most `LINES`."""
    events = list(incident.timeline.order_by("-outbox_id", "-id")[:LINES])
    index = selectors.indexes(event.outbox_id for event in events)
    return [Line(event, index.get(event.outbox_id)) for event in events]
