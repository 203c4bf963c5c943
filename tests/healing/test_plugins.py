from __future__ import annotations

import sys
import types
from importlib.metadata import EntryPoint

import pytest

from healing import plugins
from healing.actions import OURS
from healing.actions.base import PARTS, Lasting
from healing.actions.plain import Noop
from selfheal.errors import Invalid


class Drain(Noop):
    """Take a node out of the balancer."""

    name = "acme.drain"


class Renamed(Noop):
    name = "acme.other"


class Halved(Lasting):
    name = "acme.drain"


class Breaks(Noop):
    def __init__(self):
        raise OSError("no licence")


@pytest.fixture
def installed(monkeypatch):
    """Make entry points of a package that is installed: name → what it leads to."""
    module = types.ModuleType("acme_selfheal")
    monkeypatch.setitem(sys.modules, "acme_selfheal", module)

    def made(*points):
        found = []
        for n, (name, value) in enumerate(points):
            setattr(module, f"thing{n}", value)
            found.append(EntryPoint(name, f"acme_selfheal:thing{n}", "selfheal.actions"))
        monkeypatch.setattr(plugins, "entry_points", lambda group: found)
        return plugins.registry("selfheal.actions", OURS, PARTS)

    return made


def test_an_installed_action_stands_beside_ours(installed):
    found = installed(("acme.drain", Drain))
    assert isinstance(found["acme.drain"], Drain)
    assert len(found) == len(OURS) + 1


def test_an_object_is_taken_as_it_is(installed):
    drain = Drain()
    assert installed(("acme.drain", drain))["acme.drain"] is drain


@pytest.mark.parametrize(
    ("points", "says"),
    [
        ([("noop", type("Own", (Noop,), {"__doc__": "Ours, but not."}))], "the name is taken by selfheal itself"),
        ([("acme.drain", Drain), ("acme.drain", Drain)], "the name is taken by"),
        ([("acme.drain", Renamed)], "is called 'acme.other' in its code"),
        ([("acme.drain", Halved)], "has no impact, Parameters, freeze"),
        ([("acme.drain", Breaks)], "cannot be loaded: OSError: no licence"),
    ],
)
def test_what_does_not_fit_stops_the_start_with_a_line_that_names_it(installed, points, says):
    with pytest.raises(Invalid) as raised:
        installed(*points)
    line = str(raised.value)
    assert line.startswith(f"selfheal.actions: plugin {points[0][0]} (acme_selfheal:thing")
    assert says in line
    assert "\n" not in line


def test_one_whose_module_is_not_there_stops_the_start(monkeypatch):
    point = EntryPoint("acme.drain", "no_such_module:Drain", "selfheal.actions")
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point])
    with pytest.raises(Invalid, match="cannot be loaded: ModuleNotFoundError"):
        plugins.registry("selfheal.actions", OURS, PARTS)
