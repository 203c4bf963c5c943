"""What a line of the process's log is about: the run and the incident in hand, so that all lines of one can be found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_ABOUT: ContextVar[Mapping[str, str]] = ContextVar("about", default={})  # noqa: B039 — never changed in place


@contextmanager
def about(**things: object) -> Iterator[None]:
    """Every line that is logged inside is about these (`run`, `incident`), and what was said around it."""
    token = _ABOUT.set({**_ABOUT.get(), **{name: str(value) for name, value in things.items() if value}})
    try:
        yield
    finally:
        _ABOUT.reset(token)


def current() -> Mapping[str, str]:
    return _ABOUT.get()
