"""The states and their allowed moves, one table.

Rules that this module keeps:
1. A status changes only by a move that stands in `MOVES`; `healing.transitions` is the only caller that writes one.
2. A terminal status has no way out.
3. Every run that is over has exactly one outcome (`OUTCOME_OF`).
"""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property


class Impact(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @cached_property
    def rank(self) -> int:
        return list(Impact).index(self)


class Severity(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class IncidentStatus(StrEnum):
    OPEN = "open"
    ACK = "ack"
    RESOLVED = "resolved"
    CLOSED = "closed"


class EpisodeStatus(StrEnum):
    FIRING = "firing"
    RESOLVED = "resolved"


class ApprovalStatus(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class RunStatus(StrEnum):
    PROPOSED = "proposed"
    PENDING = "pending"
    DEFERRED = "deferred"
    APPROVED = "approved"
    QUEUED = "queued"
    RUNNING = "running"
    VERIFYING = "verifying"
    ROLLING_BACK = "rolling_back"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"
    REJECTED = "rejected"


class Outcome(StrEnum):
    SUCCESS = "success"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"
    REJECTED = "rejected"


class AbortReason(StrEnum):
    TIMEOUT = "timeout"
    CHANGE_WINDOW = "change_window"
    BOUNDS = "bounds"
    POLICY = "policy"
    OPERATOR = "operator"
    KILL_SWITCH = "kill_switch"
    LOST_WORKER = "lost_worker"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"


class StepStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    SKIPPED = "skipped"
    ROLLED_BACK = "rolled_back"
    UNKNOWN = "unknown"


class ProblemStatus(StrEnum):
    OPEN = "open"
    ACK = "ack"


class Verdict(StrEnum):
    """What policy says of a proposal, from the loosest to the strictest."""

    AUTO = "auto"
    APPROVAL = "approval"
    DEFER = "defer"
    DENY = "deny"

    @cached_property
    def rank(self) -> int:
        return list(Verdict).index(self)


class Level(StrEnum):
    """Guardrail levels, shown to people as strict, normal, relaxed."""

    TIGHTEN = "tighten"
    MAINTAIN = "maintain"
    LOOSEN = "loosen"


class Mode(StrEnum):
    """What one service allows."""

    OBSERVE = "observe"
    ASK = "ask"
    AUTO = "auto"


class GlobalMode(StrEnum):
    """The ceiling over all services."""

    OFF = "off"
    OBSERVE = "observe"
    EXECUTE = "execute"


class KillState(StrEnum):
    OFF = "off"
    PAUSE = "pause"
    KILL = "kill"


class Health(StrEnum):
    """How a service is, from its signals and its incidents."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


class FocusArea(StrEnum):
    """What the meta loop looks at, the most pressing first."""

    ERROR_SPIKE = "error_spike"
    TRUST_VIOLATIONS = "trust_violations"
    LATENCY_DRIFT = "latency_drift"
    CAPACITY_STRAIN = "capacity_strain"
    DEPENDENCY_HEALTH = "dependency_health"
    ROUTINE_MAINTENANCE = "routine_maintenance"


class Trigger(StrEnum):
    ALERT = "alert"
    SCHEDULE = "schedule"
    OPERATOR = "operator"
    META_LOOP = "meta_loop"
    PROACTIVE_ML = "proactive_ml"
    AGENTIC_SPINE = "agentic_spine"
    IMMUTABLE_LOG = "immutable_log"


_R = RunStatus

MOVES: dict[str, dict[str, tuple[str, ...]]] = {
    "run": {
        _R.PROPOSED: (_R.PENDING, _R.APPROVED, _R.DEFERRED, _R.ABORTED),  # decided: approval | auto | defer | deny
        _R.PENDING: (_R.APPROVED, _R.REJECTED, _R.ABORTED),  # expired, superseded, kill switch
        _R.DEFERRED: (_R.APPROVED, _R.PENDING, _R.ABORTED),  # decided again at the opening
        _R.APPROVED: (_R.QUEUED, _R.ABORTED),  # must start within SELF_HEAL_START_TTL_MIN
        _R.QUEUED: (_R.RUNNING, _R.ABORTED),
        _R.RUNNING: (_R.VERIFYING, _R.ROLLING_BACK, _R.FAILED, _R.ABORTED),
        _R.VERIFYING: (_R.SUCCEEDED, _R.ROLLING_BACK, _R.FAILED),
        _R.ROLLING_BACK: (_R.ROLLED_BACK, _R.FAILED, _R.ABORTED),  # rolled_back: at least one step undone, and that verified
    },
    "incident": {
        IncidentStatus.OPEN: (IncidentStatus.ACK, IncidentStatus.RESOLVED, IncidentStatus.CLOSED),
        IncidentStatus.ACK: (IncidentStatus.OPEN, IncidentStatus.RESOLVED, IncidentStatus.CLOSED),
        IncidentStatus.RESOLVED: (IncidentStatus.OPEN, IncidentStatus.CLOSED),  # open: the fix did not hold
    },
    "approval": {
        ApprovalStatus.PENDING: (
            ApprovalStatus.APPROVED,
            ApprovalStatus.REJECTED,
            ApprovalStatus.EXPIRED,
            ApprovalStatus.CANCELLED,
        ),
    },
    "problem": {
        ProblemStatus.OPEN: (ProblemStatus.ACK,),  # what is healed again and again after that is another problem
    },
    "step": {
        StepStatus.PENDING: (StepStatus.RUNNING, StepStatus.SKIPPED),
        StepStatus.RUNNING: (
            StepStatus.SUCCEEDED,
            StepStatus.FAILED,
            StepStatus.TIMED_OUT,
            StepStatus.UNKNOWN,  # its worker died while it ran
            StepStatus.PENDING,  # its worker died, and the action says that it may run again
        ),
        StepStatus.SUCCEEDED: (StepStatus.ROLLED_BACK,),
        StepStatus.FAILED: (StepStatus.ROLLED_BACK, StepStatus.PENDING),  # pending: a retry that the playbook allows
        StepStatus.TIMED_OUT: (StepStatus.ROLLED_BACK, StepStatus.PENDING),
        StepStatus.UNKNOWN: (StepStatus.ROLLED_BACK,),
    },
}

ACTIVE_RUN = (_R.RUNNING, _R.VERIFYING, _R.ROLLING_BACK)
ALIVE_RUN = (_R.PROPOSED, _R.PENDING, _R.DEFERRED, _R.APPROVED, _R.QUEUED, *ACTIVE_RUN)
ROLES = ("viewer", "operator", "approver", "admin")  # of people; each may do what the one before it may
LIVE_INCIDENT = (IncidentStatus.OPEN, IncidentStatus.ACK)

OUTCOME_OF: dict[str, Outcome] = {
    _R.SUCCEEDED: Outcome.SUCCESS,
    _R.FAILED: Outcome.FAILED,
    _R.ROLLED_BACK: Outcome.ROLLED_BACK,
    _R.ABORTED: Outcome.ABORTED,
    _R.REJECTED: Outcome.REJECTED,
}


def may_move(kind: str, source: str, to: str) -> bool:
    """Whether a thing of `kind` (run, incident, approval, problem, step) may go from `source` to `to`."""
    return to in MOVES[kind].get(source, ())


def sources_of(kind: str, to: str) -> tuple[str, ...]:
    """Every status from which a thing of `kind` may go to `to`."""
    return tuple(source for source, targets in MOVES[kind].items() if to in targets)
