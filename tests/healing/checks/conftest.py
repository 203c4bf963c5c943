from __future__ import annotations

from tests.healing.actions.conftest import context, marker, perform, server

__all__ = ["context", "marker", "perform", "server"]
