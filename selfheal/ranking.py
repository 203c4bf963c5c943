"""Which of several playbooks is tried first: Thompson sampling (Thompson 1933; Chapelle and Li 2011) over what each did before.

Rules that this module keeps:
1. It advises. Policy decides about whatever stands first.
2. What is long ago counts less: evidence halves each `half_life`, so a playbook that got worse loses its place.
3. What is known of a playbook anywhere is the prior of what is known of it for a diagnosis, and that of what is known of it for
   the diagnosis on one service. A few runs there outweigh what is known elsewhere, and no run counts twice.
4. Randomness is handed in. The same evidence and the same seed give the same order.
5. Samples are drawn from beliefs as they are written down, to six decimals, so that whoever reads them can draw the same again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from selfheal.decay import faded

HALF_LIFE = timedelta(days=14)
STRENGTH = 4.0  # runs that a prior is worth
DECIMALS = 6
LEVELS = ("playbook", "diagnosis", "service")  # from the widest to the narrowest: each is the prior of the next
Key = tuple[str, ...]  # of one level: (playbook,), (playbook, diagnosis) or (playbook, diagnosis, service)


@dataclass(frozen=True)
class Question:
    """What an adviser is asked: which of these playbooks is tried first for this diagnosis on this service.

    `seed`: of the draws. The answer is a list of `Place`, one for each playbook, the first to try before the others.
    """

    service: str
    diagnosis: str
    playbooks: tuple[str, ...]
    seed: str
    at: datetime


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

    def written(self) -> Belief:
        """As it is written down, and drawn from."""
        least = 10.0**-DECIMALS
        alpha, beta = (max(round(each, DECIMALS), least) for each in (self.alpha, self.beta))
        return Belief(alpha, beta, round(self.seen, DECIMALS))


@dataclass(frozen=True)
class Place:
    """Where one playbook stands and why. `seen`: the runs of each of `LEVELS`, by their age; the last are those of `belief`."""

    playbook: str
    belief: Belief
    sample: float
    seen: tuple[float, ...] = ()

    @property
    def why(self) -> str:
        seen = f"{self.belief.seen:.1f} runs here, by their age" if self.belief.seen >= 0.05 else "no runs here"
        return f"drew {self.sample:.2f} around {self.belief.mean:.2f}: {seen}"


@dataclass(frozen=True)
class Weight:
    """The runs of one key, each by its weight at `at`."""

    succeeded: float = 0.0
    failed: float = 0.0
    at: datetime | None = None

    def seeing(self, succeeded: bool, at: datetime, half_life: timedelta) -> Weight:
        fade = faded(self.at, at, half_life)
        return Weight(self.succeeded * fade + succeeded, self.failed * fade + (not succeeded), max(at, self.at or at))


class Ranker:
    """What was seen so far. `see` in the order of time, `rank` at any time after it."""

    def __init__(
        self, half_life: timedelta = HALF_LIFE, strength: float = STRENGTH, weights: Mapping[Key, Weight] | None = None
    ) -> None:
        self.half_life, self.strength = half_life, strength
        self.weights: dict[Key, Weight] = dict(weights or {})

    def see(self, trial: Trial) -> None:
        for key in keys_of(trial.playbook, trial.diagnosis, trial.service):
            self.weights[key] = self.weights.get(key, Weight()).seeing(trial.succeeded, trial.at, self.half_life)

    def belief(self, playbook: str, diagnosis: str, service: str, at: datetime) -> Belief:
        """Of a playbook that was never seen: every rate is as likely as any other."""
        return self.beliefs(playbook, diagnosis, service, at)[-1]

    def beliefs(self, playbook: str, diagnosis: str, service: str, at: datetime) -> list[Belief]:
        """One of each of `LEVELS`. What is counted at a narrower level is not counted again in its prior."""
        left = self._left(playbook, diagnosis, service, at)
        mean, seen, found = 0.5, 0.0, list[Belief]()
        for (succeeded, failed), (inner_succeeded, inner_failed) in zip(left, [*left[1:], (0.0, 0.0)], strict=True):
            good, bad = max(succeeded - inner_succeeded, 0.0), max(failed - inner_failed, 0.0)
            strength = min(self.strength, 2.0 + seen) if found else 2.0
            found.append(Belief(strength * mean + good, strength * (1 - mean) + bad, good + bad))
            mean, seen = found[-1].mean, seen + good + bad
        return found

    def _left(self, playbook: str, diagnosis: str, service: str, at: datetime) -> list[tuple[float, float]]:
        """What is left at `at` of the runs at each of `LEVELS`: (succeeded, failed)."""
        found = []
        for key in keys_of(playbook, diagnosis, service):
            weight = self.weights.get(key, Weight())
            fade = faded(weight.at, at, self.half_life)
            found.append((weight.succeeded * fade, weight.failed * fade))
        return found

    def rank(self, playbooks: Iterable[str], diagnosis: str, service: str, at: datetime, chance: Random) -> list[Place]:
        """The playbooks, the one to try first before the others."""
        places = []
        for playbook in sorted(playbooks):
            belief = self.belief(playbook, diagnosis, service, at).written()
            seen = tuple(sum(each) for each in self._left(playbook, diagnosis, service, at))
            places.append(Place(playbook, belief, chance.betavariate(belief.alpha, belief.beta), seen))
        return sorted(places, key=lambda place: -place.sample)


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


def keys_of(playbook: str, diagnosis: str, service: str) -> tuple[Key, Key, Key]:
    """One of each of `LEVELS`."""
    return (playbook,), (playbook, diagnosis), (playbook, diagnosis, service)
