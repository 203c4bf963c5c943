"""What is lost until it is known what helps: ways of choosing among playbooks, in a made-up world whose true rates are known.

Regret of a run: by how much the best playbook of that time would have been likelier to help than the one that was chosen.
Randomness is handed in by a seed: the same seed gives the same world and the same choices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from selfheal.choices import Candidate
from selfheal.ranking import Ranker, Trial

RUNS = 5_000
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
EACH = timedelta(hours=1)
# Three playbooks whose rates change in the middle: the best of the first half is the worst of the second.
RATES = ({"flush": 0.35, "restart": 0.80, "scale": 0.60}, {"flush": 0.75, "restart": 0.30, "scale": 0.60})
HERE = ("latency_spike", "web")

Choose = Callable[[datetime, Random], str]
See = Callable[[Trial], None]


@dataclass(frozen=True)
class Played:
    """`regret`: summed up to each run; `helped`: the share of runs that did."""

    regret: Sequence[float]
    helped: float


def play(way: tuple[Choose, See], seed: int, runs: int = RUNS) -> Played:
    """Let a way of choosing go through the world."""
    (choose, see), chance = way, Random(seed)  # noqa: S311 - nothing is kept secret by it
    regret, lost, helped = [], 0.0, 0
    for number in range(runs):
        at, rates = BEGIN + number * EACH, RATES[number >= runs // 2]
        playbook = choose(at, chance)
        succeeded = chance.random() < rates[playbook]
        see(Trial(at, playbook, *HERE, succeeded))
        lost += max(rates.values()) - rates[playbook]
        helped += succeeded
        regret.append(lost)
    return Played(regret, helped / runs)


def sampling() -> tuple[Choose, See]:
    """As the adviser ranks them, with its own half-life."""
    ranker = Ranker()
    return lambda at, chance: ranker.rank(RATES[0], *HERE, at, chance)[0].playbook, ranker.see


def greedy() -> tuple[Choose, See]:
    """Whatever has the best rate so far."""
    counts = {name: [1, 2] for name in RATES[0]}
    return lambda at, chance: max(counts, key=lambda name: counts[name][0] / counts[name][1]), _counting(counts)


def by_record() -> tuple[Choose, See]:
    """The fixed order of `SELF_HEAL_RANKER=fixed`, of playbooks of one impact: the best lower bound so far."""
    counts = {name: [0, 0] for name in RATES[0]}
    return lambda at, chance: min(counts, key=lambda name: Candidate(name, "low", *counts[name]).place), _counting(counts)


def always_the_first() -> tuple[Choose, See]:
    """The first by its name, whatever comes of it."""
    return lambda at, chance: min(RATES[0]), lambda trial: None


WAYS: Mapping[str, Callable[[], tuple[Choose, See]]] = {
    "sampling": sampling,
    "greedy": greedy,
    "fixed order": by_record,
    "always the first": always_the_first,
}


def _counting(counts: dict[str, list[int]]) -> See:
    def see(trial: Trial) -> None:
        counts[trial.playbook][0] += trial.succeeded
        counts[trial.playbook][1] += 1

    return see
