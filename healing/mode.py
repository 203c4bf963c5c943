from __future__ import annotations

from django.conf import settings

from selfheal.states import GlobalMode


def global_mode() -> GlobalMode:
    """The ceiling that the settings put over every service."""
    if settings.SELF_HEAL_EXECUTE:
        return GlobalMode.EXECUTE
    return GlobalMode.OBSERVE if settings.SELF_HEAL_OBSERVE_ONLY else GlobalMode.OFF
