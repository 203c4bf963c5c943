"""How far somebody may look, before anything is looked at.

Rules that this module keeps:
1. Whoever asks, asks for one domain. Another's memory needs the flag, and trust of 0.8 or an approval that names the other.
2. What is sensitive stays in its domain, and is for those who may operate and are trusted.
3. Less trust is less to see: below 0.5 nothing sensitive, below 0.2 nothing at all. What is asked and not allowed is answered by
   the own domain alone, and says so; it is a violation.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from enum import StrEnum

CROSS_TRUST = 0.8
FULL_TRUST = 0.5
LEAST_TRUST = 0.2


class MemoryType(StrEnum):
    EPISODIC = "episodic"
    SEMANTIC = "semantic"
    PROCEDURAL = "procedural"
    WORKING = "working"


class AccessLevel(StrEnum):
    FULL = "full"
    CROSS_DOMAIN = "cross_domain"
    RESTRICTED = "restricted"
    DENIED = "denied"


@dataclass(frozen=True)
class Asker:
    """Who asks. `domains` None: all; `granted`: other domains that a person has let this one ask, now."""

    domain: str
    domains: Collection[str] | None
    trust: float
    operates: bool = False
    granted: Collection[str] = ()


@dataclass(frozen=True)
class Right:
    """`domains` None: every domain. `sensitive`: what is sensitive in the own domain may be shown."""

    level: AccessLevel
    domain: str
    domains: frozenset[str] | None = field(default_factory=frozenset)
    sensitive: bool = False
    reasons: tuple[str, ...] = ()
    violation: str = ""  # the policy that was offended; empty: none
    trust: float = 0.0

    def covers(self, domain: str) -> bool:
        return self.domains is None or domain in self.domains


def right_of(asker: Asker, cross: bool) -> Right:
    """What this asker may see; `cross`: other domains are asked for as well."""
    return replace(_right_of(asker, cross), trust=asker.trust)


def _right_of(asker: Asker, cross: bool) -> Right:
    own = asker.domain
    if asker.domains is not None and own not in asker.domains:
        mine = ", ".join(sorted(asker.domains)) or "none"
        return _denied(own, "domain_isolation", f"{own} is no domain of this token; its domains: {mine}")
    if asker.trust < LEAST_TRUST:
        return _denied(own, "trust", f"trust {asker.trust:.2f} is below {LEAST_TRUST}: nothing is shown")
    sensitive = asker.operates and asker.trust >= FULL_TRUST
    if not cross:
        level = AccessLevel.FULL if asker.trust >= FULL_TRUST else AccessLevel.RESTRICTED
        return Right(level, own, frozenset({own}), sensitive, _about_trust(asker))
    if asker.trust >= CROSS_TRUST:
        said = f"other domains are asked too: trust {asker.trust:.2f} is {CROSS_TRUST} or more"
        return Right(AccessLevel.CROSS_DOMAIN, own, None, sensitive, (said,))
    if asker.granted:
        said = f"other domains are asked too, as was approved: {', '.join(sorted(asker.granted))}"
        return Right(AccessLevel.CROSS_DOMAIN, own, frozenset({own, *asker.granted}), sensitive, (said,))
    said = f"other domains are not asked: trust {asker.trust:.2f} is below {CROSS_TRUST}, and nobody has approved it"
    return Right(AccessLevel.RESTRICTED, own, frozenset({own}), False, (said,), "domain_isolation")


def _about_trust(asker: Asker) -> tuple[str, ...]:
    if asker.trust < FULL_TRUST:
        return (f"nothing sensitive: trust {asker.trust:.2f} is below {FULL_TRUST}",)
    return () if asker.operates else ("nothing sensitive: that is for those who may operate",)


def _denied(domain: str, policy: str, reason: str) -> Right:
    return Right(AccessLevel.DENIED, domain, frozenset(), False, (reason,), policy)
