"""What an action or a check says when it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Result:
    """`ok`, one line for people, and facts for programs: strings, booleans, null, integers, arrays, objects."""

    ok: bool
    message: str
    data: Mapping[str, Any] = field(default_factory=dict)
