"""The ranker against worlds whose true rates are known."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest

from selfheal.ranking import Ranker, Trial, evaluate
from selfheal.regret import BEGIN, HERE, RATES, RUNS, WAYS, play

EACH = timedelta(minutes=10)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_beats_a_fixed_order_and_the_best_so_far(seed: int) -> None:
    played = {name: play(way(), seed) for name, way in WAYS.items()}
    others = [each for name, each in played.items() if name != "sampling"]
    assert len(played["sampling"].regret) == RUNS == 5_000
    assert played["sampling"].regret[-1] < min(each.regret[-1] for each in others) / 2
    assert played["sampling"].helped > max(each.helped for each in others)


@pytest.mark.parametrize("way", WAYS)
def test_the_same_seed_plays_the_same_way(way: str) -> None:
    assert play(WAYS[way](), 7, runs=300) == play(WAYS[way](), 7, runs=300)


def seen(ranker: Ranker, playbook: str, diagnosis: str, service: str, results: str, at: datetime = BEGIN) -> None:
    for each in results:
        ranker.see(Trial(at, playbook, diagnosis, service, each == "+"))


def test_what_is_known_elsewhere_is_the_prior_here() -> None:
    ranker = Ranker()
    seen(ranker, "restart", "service_down", "web", "+" * 20)
    seen(ranker, "scale", "service_down", "web", "-" * 20)
    known, poor = (ranker.belief(name, "service_down", "shop", BEGIN) for name in ("restart", "scale"))
    assert known.mean > 0.8
    assert poor.mean < 0.2
    assert known.seen == 0


def test_a_few_runs_here_outweigh_what_is_known_elsewhere() -> None:
    ranker = Ranker()
    seen(ranker, "restart", "service_down", "web", "+" * 50)
    seen(ranker, "restart", "service_down", "shop", "-" * 8)
    assert ranker.belief("restart", "service_down", "shop", BEGIN).mean < 0.5
    assert ranker.belief("restart", "service_down", "web", BEGIN).mean > 0.8


def test_no_run_counts_twice() -> None:
    ranker = Ranker()
    seen(ranker, "restart", *HERE, "+" * 6)
    belief = ranker.belief("restart", *HERE, BEGIN)
    assert (belief.alpha, belief.beta) == (7.0, 1.0)


def test_what_is_long_ago_is_forgotten() -> None:
    ranker = Ranker(half_life=timedelta(days=1))
    seen(ranker, "restart", *HERE, "-" * 30)
    later = ranker.belief("restart", *HERE, BEGIN + timedelta(days=30))
    assert later.mean == pytest.approx(0.5, abs=0.01)
    assert later.seen < 0.01


def test_what_was_never_seen_may_be_anything() -> None:
    belief = Ranker().belief("new", *HERE, BEGIN)
    assert (belief.alpha, belief.beta, belief.seen) == (1.0, 1.0, 0.0)


def test_the_same_seed_gives_the_same_order_with_its_reasons() -> None:
    ranker = Ranker()
    seen(ranker, "restart", *HERE, "++-+")
    once, again = (ranker.rank(RATES[0], *HERE, BEGIN, random.Random(7)) for _ in range(2))
    assert once == again
    place = next(place for place in once if place.playbook == "restart")
    assert "4.0 runs here" in place.why


def test_a_recorded_history_is_judged_where_the_choice_was_what_ran() -> None:
    chance = random.Random(5)
    history = []
    for number in range(2_000):
        playbook = chance.choice(sorted(RATES[0]))
        history.append(Trial(BEGIN + number * EACH, playbook, *HERE, chance.random() < RATES[0][playbook]))
    found = {each.way: each for each in evaluate(history, seed=1)}
    assert found["hindsight"].rate == pytest.approx(0.80, abs=0.05)
    assert found["fixed"].rate == pytest.approx(0.35, abs=0.05)
    assert found["sampling"].rate > 0.70
    assert found["sampling"].matched > 400


def test_nothing_recorded_is_nothing_said() -> None:
    assert [each.rate for each in evaluate([])] == [None, None, None]
