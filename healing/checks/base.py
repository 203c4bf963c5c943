"""What a check is.

A check MUST
1. be named in `CHECKS`: one of ours there, another's by an entry point `selfheal.checks` of its own name (`healing.plugins`);
2. refuse in `Parameters` whatever it does not know or cannot bound;
3. freeze the same input to the same output, without a clock, a network or a disk: what is frozen is what will be looked at;
4. change nothing, so that it may be run at any time and any number of times;
5. look once and return a `Result` (or become a program by `execute`, whose exit code 0 is success): how often, and for how long,
   the runner says;
6. fail closed: what it cannot find out, an exception among it, is a failed result that says what could not be found out;
7. run in a child of its own as an action does, and be killable at any moment;
8. name by `targets` what it would look at, and by `dry_run`, in one line, what it would look for, from frozen arguments alone.

It MAY print: both outputs are kept, bounded and masked. It MAY put facts for people into `Result.data`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import BaseModel

from healing.actions.base import Context
from healing.result import Result
from selfheal.places import Place

__all__ = ["PARTS", "Check", "Context", "Place", "Result"]


class Check(Protocol):
    """One thing that can be looked at; the rules stand at the top of this module."""

    @property
    def name(self) -> str: ...
    @property
    def Parameters(self) -> type[BaseModel]: ...

    def freeze(self, given: Mapping[str, Any], place: Place) -> dict[str, Any]:
        """The arguments that the plan will hold. Raises Invalid naming the field."""
        ...

    def targets(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """What it would look at, by name. Raises Invalid rather than return none."""
        ...

    def dry_run(self, arguments: Mapping[str, Any]) -> str:
        """What it would look for, in a line: "GET http://web:8080/health answers 200"."""
        ...

    def run(self, arguments: Mapping[str, Any], context: Context) -> Result:
        """Look once, with frozen arguments."""
        ...


PARTS = ("name", "Parameters", "freeze", "targets", "dry_run", "run")
