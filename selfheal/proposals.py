"""From a plan to what policy is asked about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selfheal.policy import Proposal
from selfheal.states import Impact, Trigger


def proposal_of(
    plan: Mapping[str, Any], *, confidence: float, trigger: Trigger, own_alert: bool, problems: tuple[str, ...] = ()
) -> Proposal:
    """`confidence`: the diagnosis'; `own_alert`: an alert of the incident is firing; `problems`: what is out of bounds."""
    return Proposal(
        playbook=plan["playbook"],
        service=plan["service"],
        targets=tuple(plan["targets"]),
        diagnosis=plan["diagnosis"],
        impact=Impact(plan["impact"]),
        confidence=confidence,
        trigger=trigger,
        own_alert=own_alert,
        verified=bool(plan["verify"]),
        outside_window=plan["outside_window"],
        problems=problems,
    )
