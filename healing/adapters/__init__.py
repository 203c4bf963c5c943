"""The domains that can be sensed and healed: ours, and what plugins add."""

from __future__ import annotations

from healing.plugins import registry
from selfheal.signals import Threshold
from selfheal.telemetry import thresholds as of_telemetry

from .base import PARTS, Adapter
from .host import Host
from .http import Http
from .platform import Platform

OURS: tuple[Adapter, ...] = (Host(), Http(), Platform())
ADAPTERS: dict[str, Adapter] = registry("selfheal.adapters", OURS, PARTS)


def thresholds() -> dict[str, Threshold]:
    """Those of every metric that an adapter declares."""
    return {name: each for adapter in ADAPTERS.values() for name, each in of_telemetry(adapter.telemetry).items()}
