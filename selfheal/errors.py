"""The errors that selfheal raises, as one tree.

SelfhealError
├── Invalid          input that cannot be accepted; names the field, or file, line and column
│   ├── TooLarge     a limit was passed; names the limit
│   └── InvalidDocument  a file with one or more faults; `errors` has each
├── NotApplicable    a playbook does not fit this incident and place; the message says why
├── NotAllowed       policy, role or state forbids it; the message says which
├── Conflict         somebody else got there first, or the thing is no longer in the state that was expected
└── LedgerError      the log does not verify, or an entry cannot be a leaf
"""

from __future__ import annotations


class SelfhealError(Exception):
    """Base of everything that selfheal raises on purpose."""


class Invalid(SelfhealError):
    """Input that cannot be accepted.

    `field` is a dotted path into the input ("alerts.3.labels"); for files `line` and `column` count from 1.
    """

    def __init__(self, message: str, *, field: str = "", file: str = "", line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.message, self.field, self.file, self.line, self.column = message, field, file, line, column

    def __str__(self) -> str:
        if self.file:
            return f"{self.file}:{self.line}:{self.column}: {self.message}"
        return f"{self.field}: {self.message}" if self.field else self.message


class TooLarge(Invalid):
    """A bound on size, count or depth was passed."""


class InvalidDocument(Invalid):
    """A document with one or more faults. It reads as the first of them; `errors` has them all, each with its line and column."""

    def __init__(self, errors: list[Invalid]) -> None:
        first = errors[0]
        super().__init__(first.message, field=first.field, file=first.file, line=first.line, column=first.column)
        self.errors = errors


class NotApplicable(SelfhealError):
    """A playbook does not fit this incident and place."""


class NotAllowed(SelfhealError):
    """Policy, role or state forbids the act."""


class Conflict(SelfhealError):
    """The thing is no longer in the state that the act expected."""


class LedgerError(SelfhealError):
    """A leaf that cannot be written, or a log that does not verify."""
