"""The pages for people, on django-unfold: one module a room. Rows are read-only; what changes one goes through a service."""

from healing.admin import (
    access,
    approvals,
    debt,
    governance,
    incidents,
    ledger,
    notifications,
    playbooks,
    runs,
    services,
    signals,
    silences,
    trust,
    unmatched,
    windows,
)

__all__ = [
    "access",
    "approvals",
    "debt",
    "governance",
    "incidents",
    "ledger",
    "notifications",
    "playbooks",
    "runs",
    "services",
    "signals",
    "silences",
    "trust",
    "unmatched",
    "windows",
]
