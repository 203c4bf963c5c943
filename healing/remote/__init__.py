"""Targets that are reached by ssh: who they are, how they are asked, and what runs on their side."""

from __future__ import annotations

from .ssh import Remote, remote_of

__all__ = ["Remote", "remote_of"]
