"""What healing stores. One file a room; a state is written only by `healing.transitions`."""

from .access import Token, User
from .approvals import ApprovalRequest, DomainApprover, Vote
from .debt import Problem, ProblemIncident
from .governance import Adviser, Backoff, Control, Record, TriggerSource, TrustEvidence, TrustScore, Window
from .idempotency import IdempotentCall
from .incidents import Episode, Incident, TimelineEvent, UnmatchedAlert
from .ledger import (
    LedgerCosignature,
    LedgerEntry,
    LedgerHead,
    LedgerKey,
    LedgerOutbox,
    LedgerPatrol,
    LedgerPlace,
    LedgerTile,
)
from .playbooks import Playbook
from .processes import Heartbeat, JobSlot, Lease
from .runs import PutBack, Run, Step
from .scheduling import Channel, Counter, JobRun, Notification, SavedFilter, Silence
from .services import MapRule, Service, Target
from .signals import Sample, Sensed, Signal

__all__ = [
    "Adviser",
    "ApprovalRequest",
    "Backoff",
    "Channel",
    "Control",
    "Counter",
    "DomainApprover",
    "Episode",
    "Heartbeat",
    "IdempotentCall",
    "Incident",
    "JobRun",
    "JobSlot",
    "Lease",
    "LedgerCosignature",
    "LedgerEntry",
    "LedgerHead",
    "LedgerKey",
    "LedgerOutbox",
    "LedgerPatrol",
    "LedgerPlace",
    "LedgerTile",
    "MapRule",
    "Notification",
    "Playbook",
    "Problem",
    "ProblemIncident",
    "PutBack",
    "Record",
    "Run",
    "Sample",
    "SavedFilter",
    "Sensed",
    "Service",
    "Signal",
    "Silence",
    "Step",
    "Target",
    "TimelineEvent",
    "Token",
    "TriggerSource",
    "TrustEvidence",
    "TrustScore",
    "UnmatchedAlert",
    "User",
    "Vote",
    "Window",
]
