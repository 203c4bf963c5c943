"""The ranker against worlds whose true rates are known."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from selfheal.ranking import Ranker, Trial, evaluate

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
RUNS = 5_000
EACH = timedelta(minutes=10)
# Three playbooks whose rates change in the middle: the best of the first half is the worst of the second.
RATES = ({"flush": 0.35, "restart": 0.80, "scale": 0.60}, {"flush": 0.75, "restart": 0.30, "scale": 0.60})
HERE = ("latency_spike", "web")
Choose = Callable[[datetime, random.Random], str]


def play(choose: Choose, see: Callable[[Trial], None], seed: int) -> tuple[float, float]:
    """The share of runs that helped, and the regret a run: what the best playbook of the time would have been better by."""
    chance, helped, regret = random.Random(seed), 0, 0.0
    for number in range(RUNS):
        at, rates = BEGIN + number * EACH, RATES[number >= RUNS // 2]
        playbook = choose(at, chance)
        succeeded = chance.random() < rates[playbook]
        helped += succeeded
        regret += max(rates.values()) - rates[playbook]
        see(Trial(at, playbook, *HERE, succeeded))
    return helped / RUNS, regret / RUNS


def sampling() -> tuple[Choose, Callable[[Trial], None]]:
    ranker = Ranker(half_life=timedelta(days=2))
    return lambda at, chance: ranker.rank(RATES[0], *HERE, at, chance)[0].playbook, ranker.see


def greedy() -> tuple[Choose, Callable[[Trial], None]]:
    """Whatever has the best rate so far."""
    counts = {name: [1, 1] for name in RATES[0]}

    def see(trial: Trial) -> None:
        counts[trial.playbook][0] += trial.succeeded
        counts[trial.playbook][1] += 1

    return lambda at, chance: max(counts, key=lambda name: counts[name][0] / counts[name][1]), see


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_beats_a_fixed_order_and_the_best_so_far(seed: int) -> None:
    rate, regret = play(*sampling(), seed)
    fixed_rate, fixed_regret = play(lambda at, chance: "restart", lambda trial: None, seed)
    greedy_rate, greedy_regret = play(*greedy(), seed)
    assert regret < 0.06
    assert regret < min(fixed_regret, greedy_regret) / 2
    assert rate > max(fixed_rate, greedy_rate)


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
