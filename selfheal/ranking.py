"""Which of several playbooks is tried first: Thompson sampling (Thompson 1933; Chapelle and Li 2011) over what each did before.

Rules that this module keeps:
1. It advises. Policy decides about whatever stands first.
2. What is long ago counts less: evidence halves each `half_life`, so a playbook that got worse loses its place.
3. What is known of a playbook anywhere is the prior of what is known of it for a diagnosis, and that of what is known of it for
   the diagnosis on one service. A few runs there outweigh what is known elsewhere.
4. Randomness is handed in. The same evidence and the same seed give the same order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from selfheal.decay import faded

HALF_LIFE = timedelta(days=14)
STRENGTH = 4.0  # runs that a prior is worth
Key = tuple[str, ...]


@dataclass(frozen=True)
class Trial:
    """One run that started, and whether it helped."""

    at: datetime
    playbook: str
    diagnosis: str
    service: str
    succeeded: bool


@dataclass(frozen=True)
class Belief:
    """Beta(alpha, beta) over the rate of success. `seen`: runs of it that were seen, each by its weight now."""

    alpha: float
    beta: float
    seen: float

    @property
    def mean(self) -> float:
        return self.alpha / (self.alpha + self.beta)


@dataclass(frozen=True)
class Place:
    """Where one playbook stands and why."""

    playbook: str
    belief: Belief
    sample: float

    @property
    def why(self) -> str:
        seen = f"{self.belief.seen:.1f} runs here, by their age" if self.belief.seen >= 0.05 else "no runs here"
        return f"drew {self.sample:.2f} around {self.belief.mean:.2f}: {seen}"


@dataclass
class _Weight:
    succeeded: float = 0.0
    failed: float = 0.0
    at: datetime | None = None


@dataclass
class Ranker:
    """What was seen so far. `see` in the order of time, `rank` at any time after it."""

    half_life: timedelta = HALF_LIFE
    strength: float = STRENGTH
    _weights: dict[Key, _Weight] = field(default_factory=dict)

    def see(self, trial: Trial) -> None:
        for key in _keys(trial.playbook, trial.diagnosis, trial.service):
            weight = self._weights.setdefault(key, _Weight())
            fade = self._fade(weight, trial.at)
            weight.succeeded = weight.succeeded * fade + trial.succeeded
            weight.failed = weight.failed * fade + (not trial.succeeded)
            weight.at = trial.at

    def belief(self, playbook: str, diagnosis: str, service: str, at: datetime) -> Belief:
        """Of a playbook that was never seen: every rate is as likely as any other."""
        mean, seen, belief = 0.5, 0.0, Belief(1.0, 1.0, 0.0)
        for depth, key in enumerate(_keys(playbook, diagnosis, service)):
            weight = self._weights.get(key, _Weight())
            fade = self._fade(weight, at)
            succeeded, failed = weight.succeeded * fade, weight.failed * fade
            strength = 2.0 if depth == 0 else min(self.strength, 2.0 + seen)
            belief = Belief(strength * mean + succeeded, strength * (1 - mean) + failed, succeeded + failed)
            mean, seen = belief.mean, belief.seen
        return belief

    def rank(self, playbooks: Iterable[str], diagnosis: str, service: str, at: datetime, chance: Random) -> list[Place]:
        """The playbooks, the one to try first before the others."""
        places = []
        for playbook in sorted(playbooks):
            belief = self.belief(playbook, diagnosis, service, at)
            places.append(Place(playbook, belief, chance.betavariate(belief.alpha, belief.beta)))
        return sorted(places, key=lambda place: -place.sample)

    def _fade(self, weight: _Weight, at: datetime) -> float:
        """What is left of a weight at `at`; a clock that went back takes nothing away."""
        return faded(weight.at, at, self.half_life)


@dataclass(frozen=True)
class Evaluation:
    """Of a recorded history: how often what each way would have chosen was what ran, and how often that helped."""

    way: str
    matched: int
    succeeded: int

    @property
    def rate(self) -> float | None:
        return self.succeeded / self.matched if self.matched else None


def evaluate(history: Sequence[Trial], seed: int = 0) -> list[Evaluation]:
    """Replay of a history (Li et al. 2011): a choice is judged where it was the playbook that really ran.

    `sampling` learns as it goes. `fixed`: the first by name, always. `hindsight`: for each diagnosis and service the playbook
    that turned out best, which nobody could know. The history is in the order of time. Rates are unbiased where the playbooks
    that ran were chosen without regard to how they would do.
    """
    ranker, chance = Ranker(), Random(seed)  # noqa: S311 - nothing is kept secret by it
    rates = _rates(history)
    best = {place: max(sorted(rates[place]), key=rates[place].__getitem__) for place in rates}
    counts = {way: [0, 0] for way in ("sampling", "fixed", "hindsight")}
    for trial in history:
        place = (trial.diagnosis, trial.service)
        sampled = ranker.rank(rates[place], *place, trial.at, chance)[0].playbook
        for way, chosen in (("sampling", sampled), ("fixed", min(rates[place])), ("hindsight", best[place])):
            if chosen == trial.playbook:
                counts[way][0] += 1
                counts[way][1] += trial.succeeded
        ranker.see(trial)
    return [Evaluation(way, matched, succeeded) for way, (matched, succeeded) in counts.items()]


def _rates(history: Iterable[Trial]) -> dict[tuple[str, str], dict[str, float]]:
    """The rate of each playbook that ran, for each diagnosis on each service."""
    counts: dict[tuple[str, str], dict[str, list[bool]]] = {}
    for trial in history:
        counts.setdefault((trial.diagnosis, trial.service), {}).setdefault(trial.playbook, []).append(trial.succeeded)
    return {place: {name: sum(each) / len(each) for name, each in by.items()} for place, by in counts.items()}


def _keys(playbook: str, diagnosis: str, service: str) -> tuple[Key, Key, Key]:
    return (playbook,), (playbook, diagnosis), (playbook, diagnosis, service)
