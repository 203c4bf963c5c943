"""The actions that set something of a service at the addresses that its labels name, over a real server."""

from __future__ import annotations

import json
import stat
from dataclasses import replace

import pytest

from healing.actions import ACTIONS
from selfheal.errors import Invalid
from selfheal.places import Place
from tests.healing.actions import examples


@pytest.fixture
def place(tmp_path, marker, server):
    return examples.place(tmp_path, marker, server.url)


@pytest.fixture
def ready(context, server):
    return replace(context, allowed=[server.url])


@pytest.fixture
def act(perform, place, ready):
    def acted(name, context=ready, place=place, **given):
        return perform(ACTIONS[name], given, place, context=context, bound=5)

    return acted


@pytest.fixture
def undo(perform, place, ready):
    """Run the undo of what was done, by what it left."""

    def undone(name, launched, **given):
        arguments = ACTIONS[name].undo(ACTIONS[name].freeze(given, place), launched.result.data)
        again = type("Undo", (), {"freeze": lambda *_: arguments, "run": staticmethod(ACTIONS[name].run)})
        return perform(again, {}, place, context=ready)

    return undone


def methods(server):
    return [each[0] for each in server.seen]


# -- flags


def test_a_flag_is_set_and_read_back(act, server):
    launched = act("flag.set", flag="new-checkout", value=False)
    assert (launched.result.ok, launched.message) == (True, "new-checkout is false, it was true")
    assert server.state["flags/new-checkout"] == {"value": False}
    assert methods(server) == ["GET", "PUT", "GET"]


def test_a_flag_that_does_not_change_failed(act, server):
    server.deaf.add("flags/new-checkout")
    launched = act("flag.set", flag="new-checkout", value=False)
    assert (launched.result.ok, launched.message) == (False, "new-checkout is true, it was true, and should be false")


def test_a_flag_that_there_is_not_failed_and_changed_nothing(act, server):
    launched = act("flag.set", flag="old", value=False)
    assert not launched.result.ok
    assert "answered 404" in launched.message
    assert methods(server) == ["GET"]


def test_a_flag_goes_back_to_what_it_was(act, undo, server):
    given = {"flag": "new-checkout", "value": False}
    assert undo("flag.set", act("flag.set", **given), **given).result.ok
    assert server.state["flags/new-checkout"] == {"value": True}


def test_another_attempt_keeps_what_the_first_found(act, ready, server):
    launched = act("flag.set", context=replace(ready, earlier={"before": "old"}), flag="new-checkout", value=False)
    assert launched.result.data["before"] == "old"


def test_what_was_before_is_kept_of_a_step_that_is_ended(act, server, perform, place, ready):
    server.state["log_level/ROOT"]["configuredLevel"] = "INFO"

    class Hangs(type(ACTIONS["log_level.set"])):
        def run(self, arguments, context):
            super().run(arguments, context)
            import time

            time.sleep(60)

    launched = perform(Hangs(), {"level": "DEBUG"}, place, context=ready, bound=3)
    assert launched.timed_out
    assert launched.result.data == {"before": "INFO"}


@pytest.fixture
def flags_file(tmp_path):
    path = tmp_path / "flags.json"
    path.write_text('{"new-checkout": true, "other": 7}')
    path.chmod(0o640)
    return path


def test_a_flag_in_a_file_is_replaced_as_a_whole(act, flags_file):
    there = Place("web", "web-01", labels={"flags_file": str(flags_file)})
    launched = act("flag.set", place=there, flag="new-checkout", value="off")
    assert launched.result.ok
    assert json.loads(flags_file.read_text()) == {"new-checkout": "off", "other": 7}
    assert stat.S_IMODE(flags_file.stat().st_mode) == 0o640
    assert sorted(path.name for path in flags_file.parent.glob("*flags*")) == [".flags.json.lock", "flags.json"]


def test_a_flag_that_was_not_in_the_file_is_taken_out_again(perform, context, flags_file):
    action, there = ACTIONS["flag.set"], Place("web", "web-01", labels={"flags_file": str(flags_file)})
    frozen = action.freeze({"flag": "fresh", "value": True}, there)
    launched = perform(action, {"flag": "fresh", "value": True}, there)
    assert launched.result.data["before"] is None
    undo = type("Undo", (), {"freeze": lambda *_: action.undo(frozen, launched.result.data), "run": staticmethod(action.run)})
    assert perform(undo, {}, there).result.ok
    assert "fresh" not in json.loads(flags_file.read_text())


@pytest.mark.parametrize("text", ["", "[1]", "{", '"x"'])
def test_a_file_that_holds_no_flags_is_left_alone(act, flags_file, text):
    flags_file.write_text(text)
    launched = act("flag.set", place=Place("web", "web-01", labels={"flags_file": str(flags_file)}), flag="a", value=True)
    assert "is no JSON object" in launched.message
    assert flags_file.read_text() == text


def test_a_flags_file_works_on_this_machine_only():
    elsewhere = Place("web", "web-01", via="ssh", labels={"flags_file": "/etc/flags.json"})
    with pytest.raises(Invalid, match="on this machine only"):
        ACTIONS["flag.set"].freeze({"flag": "a", "value": True}, elsewhere)


# -- instances


@pytest.mark.parametrize(("delta", "after"), [(1, 5), (3, 7), (-2, 2)])
def test_instances_are_scaled_and_read_back(act, server, delta, after):
    launched = act("instances.scale", delta=delta)
    assert (launched.result.ok, launched.message) == (True, f"there are {after} instances, there were 4")
    assert server.state["instances"] == {"instances": after}


def test_nothing_is_scaled_under_the_least_that_the_service_allows(act, server):
    launched = act("instances.scale", delta=-3)
    assert (launched.result.ok, methods(server)) == (False, ["GET"])
    assert launched.message == "there are 4; 1 would be under the least that the service allows, 2"


def test_too_few_instances_may_become_more_one_by_one(act, server):
    server.state["instances"] = {"instances": 0}
    assert act("instances.scale", delta=1).result.ok


@pytest.mark.parametrize("delta", [0, 4, -4, "1", 1.0, True])
def test_a_delta_has_its_bounds(place, delta):
    with pytest.raises(Invalid) as raised:
        ACTIONS["instances.scale"].freeze({"delta": delta}, place)
    assert raised.value.field == "delta"


def test_instances_go_back_to_how_many_there_were(act, undo, server):
    assert undo("instances.scale", act("instances.scale", delta=2), delta=2).result.ok
    assert server.state["instances"] == {"instances": 4}


def test_another_attempt_does_not_scale_twice(act, ready, server):
    server.state["instances"] = {"instances": 5}
    assert act("instances.scale", context=replace(ready, earlier={"before": 4}), delta=1).result.ok
    assert server.state["instances"] == {"instances": 5}


def test_instances_that_do_not_come_end_at_the_bound(perform, place, ready, server):
    server.deaf.add("instances")
    launched = perform(ACTIONS["instances.scale"], {"delta": 1}, place, context=ready, bound=0.5)
    assert launched.timed_out
    assert launched.result.data == {"before": 4}


# -- log levels


def test_a_level_is_set_in_the_shape_of_spring_boot(act, server):
    launched = act("log_level.set", level="DEBUG")
    assert (launched.result.ok, launched.message) == (True, "ROOT is at DEBUG, it was at WARN")
    assert [(method, body) for method, _, _, body in server.seen if body] == [("POST", '{"configuredLevel": "DEBUG"}')]


def test_a_logger_that_had_no_level_of_its_own_gets_none_back(act, undo, server):
    server.state["log_level/com.acme"] = {"configuredLevel": None, "effectiveLevel": "INFO"}
    given = {"level": "DEBUG", "logger": "com.acme"}
    assert undo("log_level.set", act("log_level.set", **given), **given).result.ok
    assert server.state["log_level/com.acme"]["configuredLevel"] is None


def test_a_level_lasts_fifteen_minutes_unless_it_says_otherwise(place):
    action = ACTIONS["log_level.set"]
    assert action.put_back_after(action.freeze({"level": "DEBUG"}, place)) == 900
    assert action.put_back_after(action.freeze({"level": "DEBUG", "ttl": "2h"}, place)) == 7200


@pytest.mark.parametrize(("field", "value"), [("ttl", "59s"), ("ttl", "121m"), ("level", "TRACE"), ("logger", "a/../b")])
def test_levels_have_their_bounds(place, field, value):
    with pytest.raises(Invalid) as raised:
        ACTIONS["log_level.set"].freeze({"level": "DEBUG", field: value}, place)
    assert raised.value.field == field


def test_where_nobody_knows_what_was_before_it_is_the_declared_normal_level(place):
    action = ACTIONS["log_level.set"]
    normal = replace(place, labels={**place.labels, "log_level_normal": "WARN"})
    assert action.undo(action.freeze({"level": "DEBUG"}, place), {})["level"] == "INFO"
    assert action.undo(action.freeze({"level": "DEBUG"}, normal), {})["level"] == "WARN"


# -- caches and breakers


def test_a_cache_is_warmed_and_waited_for(act, server):
    assert act("cache.warm").message == "the cache is warm"
    assert server.state["cache"] == {"warm": True}


def test_breakers_that_are_open_are_closed(act, server):
    assert act("breakers.flush").message == "closed db, mail"
    assert act("breakers.flush").message == "none of them was open"


def test_only_the_breakers_that_were_asked_for_are_closed(act, server):
    act("breakers.flush", breakers=["mail", "disk"])
    assert [body for method, _, _, body in server.seen if method == "POST"] == ['{"close": ["mail"]}']


def test_a_breaker_that_stays_open_failed(act, server):
    server.deaf.add("breakers")
    assert act("breakers.flush").message == "still open: db, mail"


# -- all of them


NEEDS = {
    "flag.set": {"flag": "a", "value": True},
    "instances.scale": {"delta": 1},
    "log_level.set": {"level": "DEBUG"},
    "cache.warm": {},
    "breakers.flush": {},
}


@pytest.mark.parametrize("name", NEEDS)
def test_a_service_that_does_not_say_where_is_told_which_label(name):
    with pytest.raises(Invalid, match="give service web this label") as raised:
        ACTIONS[name].freeze(NEEDS[name], Place("web", "web-01"))
    assert raised.value.field.startswith("labels.")


@pytest.mark.parametrize("name", NEEDS)
def test_an_address_that_was_not_declared_is_not_reached(name, act, context, server):
    launched = act(name, context=context, **NEEDS[name])
    assert "which HTTP may not reach" in launched.message
    assert server.seen == []


@pytest.mark.parametrize("name", NEEDS)
def test_what_answers_something_else_failed_and_changed_nothing(name, act, server, place):
    strange = replace(place, labels={f"{label}_url": f"{server.url}/echo?" for label in ("flags", "instances", "log_level")})
    strange = replace(strange, labels=strange.labels | {"breakers_url": f"{server.url}/echo", "cache_url": f"{server.url}/echo"})
    assert not act(name, place=strange, **NEEDS[name]).result.ok


def test_each_target_has_its_own_address_and_a_token_stays_a_name(act, server, ready, place):
    (ready.secrets_dir / "control").write_text("s3cret-token\n")
    labels = {"cache_url": f"{server.url}/control/${{target.host}}", "control_token": "${secret.control}"}
    there = replace(place, target="cache", labels=labels)
    assert ACTIONS["cache.warm"].freeze({}, there) == {"at": {"url": f"{server.url}/control/cache", "token": "${secret.control}"}}
    assert act("cache.warm", place=there).result.ok
    assert {headers["Authorization"] for _, _, headers, _ in server.seen} == {"Bearer s3cret-token"}


def test_a_token_that_stands_in_a_label_is_refused(place):
    with pytest.raises(Invalid, match=r"must be \$\{secret\.NAME\}"):
        ACTIONS["cache.warm"].freeze({}, replace(place, labels={**place.labels, "control_token": "s3cret"}))
