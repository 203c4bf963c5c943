"""What a step can do: ours, and what plugins add. What is not in `ACTIONS` does not run."""

from __future__ import annotations

from healing.plugins import registry
from selfheal.errors import Invalid

from .base import PARTS, Action
from .command import CommandRun
from .flag import FlagSet
from .http_request import HttpRequest
from .instances import InstancesScale
from .log_level import LogLevelSet
from .notify import Notify
from .plain import Noop, Wait
from .process import ProcessAction
from .refresh import BreakersFlush, CacheWarm

OURS: tuple[Action, ...] = (
    ProcessAction("start", again=True),
    ProcessAction("stop", again=True),
    ProcessAction("restart", again=False),
    CommandRun(),
    HttpRequest(),
    Notify(),
    FlagSet(),
    InstancesScale(),
    LogLevelSet(),
    CacheWarm(),
    BreakersFlush(),
    Wait(),
    Noop(),
)
ACTIONS: dict[str, Action] = registry("selfheal.actions", OURS, PARTS)


def action(name: str) -> Action:
    """The action of that name. Raises Invalid: an unknown action fails closed."""
    if name not in ACTIONS:
        raise Invalid(f"unknown action {name!r}; there are {', '.join(sorted(ACTIONS))}", field="action")
    return ACTIONS[name]
