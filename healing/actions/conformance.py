"""What every action and every check must keep, as far as it can be tried without doing anything: for ours, and for yours.

```python
@pytest.mark.parametrize("rule", conformance.RULES, ids=lambda rule: rule.__name__)
def test_it_keeps(rule):
    rule(conformance.Example(Drain(), {"node": "web-01"}, Place("web", "web-01", labels={"lb_url": "http://lb"})))
```

Each rule takes an `Example` and raises AssertionError. The example's `given` is what a playbook would write, and fits.
"""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from healing.plugins import NAME
from selfheal.canonical import dumps
from selfheal.errors import Invalid
from selfheal.places import Place
from selfheal.states import Impact

from .base import PARTS

TOUCHING = ("open", "os.", "shutil.", "socket.", "subprocess.", "sqlite3.", "ctypes.dlopen", "urllib.", "pathlib.")
LINE = 500
CHECK_PARTS = ("name", "Parameters", "freeze", "targets", "dry_run", "run")  # healing.checks.base has them with their reasons


@dataclass(frozen=True)
class Example:
    """One doer and what it is given. `found`: what an action that undoes would leave in `Result.data`."""

    doer: Any
    given: Mapping[str, Any]
    place: Place
    found: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_action(self) -> bool:
        return hasattr(self.doer, "impact")

    def freeze(self) -> dict[str, Any]:
        frozen: dict[str, Any] = self.doer.freeze(copy.deepcopy(dict(self.given)), self.place)
        return frozen


def has_every_part(example: Example) -> None:
    missing = [part for part in (PARTS if example.is_action else CHECK_PARTS) if not hasattr(example.doer, part)]
    assert not missing, f"it has no {', '.join(missing)}"
    assert NAME.fullmatch(example.doer.name), f"{example.doer.name!r} is no name like acme.drain"
    assert issubclass(example.doer.Parameters, BaseModel)


def says_what_it_is(example: Example) -> None:
    assert inspect.getdoc(type(example.doer)), "its class has no docstring, and the reference shows it"


def says_its_least_impact(example: Example) -> None:
    if example.is_action:
        assert isinstance(example.doer.impact, Impact)
        assert isinstance(example.doer.reads_only, bool)
        assert isinstance(example.doer.undoes, bool)


def freezes_the_same_to_the_same(example: Example) -> None:
    assert dumps(example.freeze()) == dumps(example.freeze())


def leaves_what_it_was_given_alone(example: Example) -> None:
    given = copy.deepcopy(dict(example.given))
    example.doer.freeze(given, example.place)
    assert given == dict(example.given)


def freezes_without_touching_anything(example: Example) -> None:
    example.freeze()  # whatever has to be imported
    with untouched():
        example.freeze()


def refuses_what_it_does_not_know(example: Example) -> None:
    blamed = _blamed(example, "nonsense_", 1)
    assert blamed == "nonsense_", f"it blames {blamed!r}, not `nonsense_`"


def refuses_values_of_another_type(example: Example) -> None:
    """Whatever is given, an object is no right value for it; where an object belongs, a list is not."""
    for name, value in example.given.items():
        blamed = _blamed(example, name, [{}] if isinstance(value, Mapping) else {"a": {}})
        assert blamed.partition(".")[0] == name, f"it blames {blamed!r}, not {name!r}"


def _blamed(example: Example, name: str, value: Any) -> str:
    """The field that Invalid names when `name` is given as `value`. AssertionError if it is taken."""
    try:
        example.doer.freeze({**example.given, name: value}, example.place)
    except Invalid as error:
        return error.field
    raise AssertionError(f"it takes {value!r} for {name}")


def names_what_it_touches(example: Example) -> None:
    frozen = example.freeze()
    with untouched():
        targets = example.doer.targets(frozen)
    assert isinstance(targets, tuple), "targets() returns a tuple"
    assert targets, "it touches nothing that it can name"
    assert all(isinstance(name, str) and name.strip() and name.strip() not in ("*", "all") for name in targets), targets


def says_in_a_line_what_it_would_do(example: Example) -> None:
    frozen = example.freeze()
    with untouched():
        line = example.doer.dry_run(frozen)
    assert isinstance(line, str)
    assert line.strip()
    assert line.isprintable(), f"{line!r} is not one line"
    assert len(line) <= LINE, f"{len(line)} characters, at most {LINE}"


def says_whether_it_may_be_run_again(example: Example) -> None:
    if example.is_action:
        assert isinstance(example.doer.idempotent(example.freeze()), bool)


def undoes_by_arguments_of_its_own(example: Example) -> None:
    """The undo touches the same, can be shown and run again, and is not put back itself."""
    if not example.is_action:
        return
    doer, frozen = example.doer, example.freeze()
    with untouched():
        undo = doer.undo(frozen, dict(example.found))
    assert (undo is not None) is doer.undoes, "`undoes` and undo() say different things; the example's `found` must be complete"
    if undo is None:
        return
    dumps(undo)
    assert doer.targets(undo) == doer.targets(frozen), "the undo touches something else"
    assert doer.dry_run(undo)
    assert isinstance(doer.idempotent(undo), bool)
    assert doer.put_back_after(undo) is None, "an undo is not put back"


def is_put_back_only_if_it_can_be(example: Example) -> None:
    """What is put back by itself says to what, also where nobody knows what was before."""
    if not example.is_action:
        return
    frozen = example.freeze()
    after = example.doer.put_back_after(frozen)
    assert after is None or (isinstance(after, (int, float)) and after > 0), after
    assert after is None or example.doer.undo(frozen, {}) is not None, "it is put back, and undo(arguments, {}) says nothing"


RULES: tuple[Callable[[Example], None], ...] = (
    has_every_part,
    says_what_it_is,
    says_its_least_impact,
    freezes_the_same_to_the_same,
    leaves_what_it_was_given_alone,
    freezes_without_touching_anything,
    refuses_what_it_does_not_know,
    refuses_values_of_another_type,
    names_what_it_touches,
    says_in_a_line_what_it_would_do,
    says_whether_it_may_be_run_again,
    undoes_by_arguments_of_its_own,
    is_put_back_only_if_it_can_be,
)

_watched: ContextVar[list[str] | None] = ContextVar("watched", default=None)
_hooks: list[Any] = []  # an audit hook stays for ever: one is enough


@contextmanager
def untouched() -> Iterator[None]:
    """Raises AssertionError if what runs inside opens a file or a socket, or starts a program."""
    if not _hooks:
        _hooks.append(_audit)
        sys.addaudithook(_audit)
    seen: list[str] = []
    token = _watched.set(seen)
    try:
        yield
    finally:
        _watched.reset(token)
    assert not seen, f"it touches something: {', '.join(sorted(set(seen)))}"


def _audit(event: str, _: Any) -> None:
    seen = _watched.get()
    if seen is not None and event.startswith(TOUCHING):
        seen.append(event)
