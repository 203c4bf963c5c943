"""What was looked at, whether it is well, and how to mend it where it is not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    what: str
    ok: bool
    found: str
    mend: str = ""
