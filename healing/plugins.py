"""Actions and checks by entry point: ours, and what installed packages add under `selfheal.actions` and `selfheal.checks`.

```toml
[project.entry-points."selfheal.actions"]
"acme.drain" = "acme_selfheal:Drain"     # the class (made without arguments) or an object, named as its `name`
```

Rules that this module keeps:
1. All or nothing: one plugin that cannot be loaded, lacks a part of the contract or takes a name that is taken stops the start,
   with a line that names the package. Nothing is left out in silence: a playbook that needs it would fail in the night.
2. Ours come first and cannot be replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, TypeVar

from selfheal.errors import Invalid

NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")


class Named(Protocol):
    @property
    def name(self) -> str: ...


Doer = TypeVar("Doer", bound=Named)


def registry(group: str, ours: Iterable[Doer], parts: Sequence[str]) -> dict[str, Doer]:
    """By name: ours, then the plugins of `group`, each with all `parts`. Raises Invalid for the first that does not fit."""
    found = {doer.name: doer for doer in ours}
    taken = dict.fromkeys(found, "selfheal itself")
    for point in sorted(entry_points(group=group), key=lambda point: (_package(point), point.name)):
        doer, package = _loaded(point, parts), _package(point)
        if point.name in found:
            raise _refused(point, f"the name is taken by {taken[point.name]}: two cannot have one")
        found[point.name], taken[point.name] = doer, package
    return found


def _loaded(point: EntryPoint, parts: Sequence[str]) -> Any:
    try:
        loaded = point.load()
        doer = loaded() if isinstance(loaded, type) else loaded
        missing = [part for part in parts if not hasattr(doer, part)]
    except Exception as error:  # whatever another's code raises, it becomes one line that names it
        raise _refused(point, f"cannot be loaded: {type(error).__name__}: {error}") from error
    if missing:
        raise _refused(point, f"has no {', '.join(missing)}: see the contract in healing/{point.group.partition('.')[2]}/base.py")
    if doer.name != point.name or not NAME.fullmatch(point.name):
        raise _refused(point, f"is called {doer.name!r} in its code: both names must be the same, like acme.drain")
    return doer


def _refused(point: EntryPoint, why: str) -> Invalid:
    return Invalid(f"plugin {point.name} ({point.value}) of {_package(point)} {why}; mend or uninstall it", field=point.group)


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "an unknown package"
