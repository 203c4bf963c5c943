"""Who asks the broker, and how it says no."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from healing.access import DOMAIN
from healing.models import Token, User
from healing.throttle import TooOften
from healing.trust import trusts
from selfheal.errors import Invalid, NotAllowed
from selfheal.memory.rights import AccessLevel, Asker
from selfheal.scores import Actor, Kind


class Denied(NotAllowed):
    """Nothing is shown, nothing is stored. The API's answer has `access_level: denied` beside the reason."""

    members = {"access_level": AccessLevel.DENIED.value}


class OverQuota(TooOften):
    """More questions of a domain than its quota; 429 with Retry-After."""


@dataclass(frozen=True)
class Caller:
    """The token's user. `domains` None: all, which is an administrator whose token names none."""

    user: User
    token: str  # its id
    domains: frozenset[str] | None

    @property
    def name(self) -> str:
        return self.user.get_username()

    def asker(self, domain: str, at: datetime, granted: Collection[str] = ()) -> Asker:
        """Raises Invalid for what is no name of a domain."""
        if not DOMAIN.fullmatch(domain):
            raise Invalid("is a name of 1 to 30 characters: a-z, 0-9, - and _, a letter first", field="domain")
        behind = [Actor(Kind.DOMAIN, domain), Actor(Kind.AGENT, self.name), Actor(Kind.TOKEN, self.token)]
        return Asker(domain, self.domains, trust_in(behind, at), self.user.has_perm("healing.operate"), granted)


def trust_in(actors: list[Actor], at: datetime) -> float:
    """The least trust in those of whom anything is known, by evidence or a person's word; else what all begin with."""
    found = trusts(actors, at)
    known = [each.score for each in found if each.seen or len(each.reasons) > 1]
    return min(known, default=min(each.score for each in found))


def caller_of(user: User, token: Token | None) -> Caller:
    """`token` None: a session, which has no domain unless it is an administrator's."""
    named = frozenset(token.domains if token else ())
    every = not named and user.has_perm("healing.configure")
    return Caller(user, str(token.public_id) if token else "session", None if every else named)
