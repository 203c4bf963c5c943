"""The advisers that are installed, by name. They need neither settings nor a database."""

from __future__ import annotations

from importlib.metadata import entry_points

from selfheal.advice import GROUP, Adviser
from selfheal.errors import Invalid


def names() -> list[str]:
    return sorted(entry_points(group=GROUP).names)


def load(name: str) -> Adviser:
    """The adviser `name`. Raises Invalid if there is none, and whatever its module raises when it is loaded."""
    found = [point for point in entry_points(group=GROUP) if point.name == name]
    if not found:
        raise Invalid(f"there is no adviser {name!r}; there are: {', '.join(names())}", field="adviser")
    return found[0].load()
