"""What can be looked at: ours, and what plugins add. What is not in `CHECKS` fails."""

from __future__ import annotations

from healing.plugins import registry
from selfheal.errors import Invalid

from .base import PARTS, Check
from .cli_smoke import CliSmoke
from .command import Command
from .http_health import HttpHealth
from .metrics import MetricsThreshold, MetricsTrend
from .process_up import ProcessUp

OURS: tuple[Check, ...] = (HttpHealth(), MetricsThreshold(), MetricsTrend(), ProcessUp(), Command(), CliSmoke())
CHECKS: dict[str, Check] = registry("selfheal.checks", OURS, PARTS)


def check(name: str) -> Check:
    """The check of that name. Raises Invalid: an unknown check fails closed."""
    if name not in CHECKS:
        raise Invalid(f"unknown check {name!r}; there are {', '.join(sorted(CHECKS))}", field="check")
    return CHECKS[name]
