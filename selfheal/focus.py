"""Where to look: a focus from what was seen, and how much distress there is.

Rules that this module keeps:
1. What was seen is a value that a log entry can hold (`as_document`, `from_document`): the same focus follows from it again.
2. The areas are looked at in the order of `FocusArea`; the first that holds is the focus, all that hold are among its reasons.
3. Distress recommends a guardrail level. It never sets one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from selfheal.states import FocusArea, Health, Level

ERRORS, BLOCKED, DRIFT, CHANCE = 10, 5, 1.3, 0.5  # beyond which there is an error spike, …; of a forecast: from which on
LEAST_SURE, MOST_SURE = 0.5, 0.95
TIGHTEN_OVER, LOOSEN_UNDER = 60, 10


@dataclass(frozen=True)
class Drift:
    """The mean latency of a service in the last minutes, and before; milliseconds."""

    service: str
    now_ms: float
    usual_ms: float

    @property
    def ratio(self) -> float:
        return self.now_ms / self.usual_ms


@dataclass(frozen=True)
class Strain:
    """A capacity that a forecast sees beyond its limit soon, with the chance of that (0 to 1)."""

    service: str
    target: str
    metric: str
    chance: float


@dataclass(frozen=True)
class Unwell:
    """A service that is degraded or critical, and how many depend on it, directly or not: all of them, and the unwell ones."""

    service: str
    health: Health
    dependents: int
    unwell_dependents: int


@dataclass(frozen=True)
class Seen:
    """What one cycle saw. `entries`: of the log, that `errors` and `blocked` were counted in; the lists have the worst first."""

    entries: int = 0
    errors: int = 0
    blocked: int = 0
    critical: int = 0
    degraded: int = 0
    healthy: int = 0
    unknown: int = 0
    open_incidents: int = 0
    unforecast: int = 0  # capacities of which there is no fresh forecast
    drifts: tuple[Drift, ...] = ()
    strains: tuple[Strain, ...] = ()
    unwell: tuple[Unwell, ...] = ()
    unforecast_because: str = ""  # empty in entries from when a cycle made its forecasts itself: the time budget was over

    @property
    def services(self) -> int:
        return self.critical + self.degraded + self.healthy + self.unknown


@dataclass(frozen=True)
class Focus:
    """`confidence`: 0 to 1, with two decimals."""

    area: FocusArea
    confidence: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Distress:
    score: int  # 0 to 100
    recommends: Level
    reason: str


def focus(seen: Seen) -> Focus:
    """Where to look."""
    found = [(area, *held) for area, look in LOOKS.items() if (held := look(seen))]
    area, sure, _ = found[0]
    return Focus(area, round(sure, 2), tuple(reason for _, _, reason in found[: max(len(found) - 1, 1)]))


def distress(seen: Seen) -> Distress:
    """How bad it is together, and what that recommends."""
    score = min(100, 30 * seen.critical + 10 * seen.degraded + 20 * seen.open_incidents)
    parts = f"{seen.critical} critical, {seen.degraded} degraded, {seen.open_incidents} open incidents: distress {score} of 100"
    if score > TIGHTEN_OVER:
        return Distress(score, Level.TIGHTEN, f"{parts}, over {TIGHTEN_OVER}")
    if score < LOOSEN_UNDER:
        return Distress(score, Level.LOOSEN, f"{parts}, under {LOOSEN_UNDER}")
    return Distress(score, Level.MAINTAIN, parts)


def as_document(seen: Seen) -> dict[str, Any]:
    """As JSON without fractions: numbers that are none are decimal strings."""
    return {name: _written(value) for name, value in asdict(seen).items()}


def from_document(document: Mapping[str, Any]) -> Seen:
    """What `as_document` wrote. Raises KeyError, TypeError or ValueError for anything else."""
    return Seen(
        **{name: value for name, value in document.items() if name not in ("drifts", "strains", "unwell")},
        drifts=tuple(Drift(row["service"], float(row["now_ms"]), float(row["usual_ms"])) for row in document["drifts"]),
        strains=tuple(Strain(**{**row, "chance": float(row["chance"])}) for row in document["strains"]),
        unwell=tuple(Unwell(**{**row, "health": Health(row["health"])}) for row in document["unwell"]),
    )


def rounded(value: float) -> float:
    """A measured value as it survives being written: three decimals."""
    return round(value, 3)


def _written(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, tuple):
        return [{name: _written(part) for name, part in row.items()} for row in value]
    return str(value) if isinstance(value, Health) else value


# -- one look an area: how sure it is and why, or None


Held = tuple[float, str] | None


def _errors(seen: Seen) -> Held:
    if seen.errors <= ERRORS:
        return None
    return _sure(seen.errors / ERRORS), f"{seen.errors} errors in the last {seen.entries} entries of 5 min, over {ERRORS}"


def _violations(seen: Seen) -> Held:
    if seen.blocked <= BLOCKED:
        return None
    return _sure(seen.blocked / BLOCKED), f"{seen.blocked} accesses were blocked in 5 min, over {BLOCKED}"


def _drift(seen: Seen) -> Held:
    found = [each for each in seen.drifts if each.ratio > DRIFT]
    if not found:
        return None
    worst = max(found, key=lambda each: each.ratio)
    said = f"{worst.service} takes {worst.now_ms:.0f} ms, {worst.ratio:.1f}× of its usual {worst.usual_ms:.0f} ms"
    return _sure(worst.ratio / DRIFT), said + _and_more(len(found) - 1)


def _strain(seen: Seen) -> Held:
    found = [each for each in seen.strains if each.chance >= CHANCE]
    if not found:
        return None
    worst = max(found, key=lambda each: each.chance)
    said = f"{worst.metric} of {worst.service}/{worst.target} passes its limit soon with {worst.chance:.0%}"
    return min(worst.chance, MOST_SURE), said + _and_more(len(found) - 1)


def _dependencies(seen: Seen) -> Held:
    found = [each for each in seen.unwell if each.dependents]
    if not found:
        return None
    worst = max(found, key=lambda each: (each.health is Health.CRITICAL, each.unwell_dependents, each.dependents))
    hurt = f"{worst.unwell_dependents} of the {worst.dependents} that depend on it are unwell too"
    sure = LEAST_SURE + (MOST_SURE - LEAST_SURE) * worst.unwell_dependents / worst.dependents
    return sure, f"{worst.service} is {worst.health}, {hurt}" + _and_more(len(found) - 1)


def _routine(seen: Seen) -> Held:
    """Nothing stands out; the less is known, the less that means."""
    if not seen.services:
        return LEAST_SURE, "no service is declared"
    known = 1 - seen.unknown / seen.services
    said = f"nothing stands out in {seen.services} services" + (f", {seen.unknown} of them unknown" if seen.unknown else "")
    return LEAST_SURE + (MOST_SURE - LEAST_SURE) * known, said


LOOKS: dict[FocusArea, Callable[[Seen], Held]] = {
    FocusArea.ERROR_SPIKE: _errors,
    FocusArea.TRUST_VIOLATIONS: _violations,
    FocusArea.LATENCY_DRIFT: _drift,
    FocusArea.CAPACITY_STRAIN: _strain,
    FocusArea.DEPENDENCY_HEALTH: _dependencies,
    FocusArea.ROUTINE_MAINTENANCE: _routine,
}


def _sure(ratio: float) -> float:
    """How sure a value makes that is `ratio` times what it may be: at twice that as sure as it gets."""
    return min(MOST_SURE, LEAST_SURE + (MOST_SURE - LEAST_SURE) * (ratio - 1))


def _and_more(count: int) -> str:
    return f", and {count} more" if count else ""
