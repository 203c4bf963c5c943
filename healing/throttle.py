"""How often one caller may call, and from where a call comes.

Rules that this module keeps:
1. The address is the one that connected. X-Forwarded-For is believed as far as SELF_HEAL_PROXIES says, and no further.
2. Counts are in the memory of the process: a refused call costs no row. With n web processes a limit is up to n times as high.
3. At the intake bodies are counted, not alerts, and generously: a storm of alerts must pass.
4. Of sign-ins and tokens only failures are counted. A good token is never refused for bad ones from the same address; after too
   many failed sign-ins nobody signs in from there for a while, since a password can be guessed.
5. The kill switch is never throttled.
"""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from rest_framework.exceptions import Throttled
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from selfheal.rates import Limit

clock = time.monotonic


class TooOften(Throttled):
    """429 with Retry-After, and the same in words."""

    extra_detail_singular = extra_detail_plural = "(again in {wait} s)"


@dataclass(frozen=True)
class Throttle:
    """A limit, and what it says to whoever goes beyond it."""

    limit: Limit
    says: str

    def wait(self, key: str) -> float:
        """The seconds until one more is allowed."""
        return self.limit.wait(key, clock())

    def spend(self, key: str) -> None:
        """Count one call. Raises TooOften where that is one too many."""
        wait = self.limit.take(key, clock())
        if wait:
            raise TooOften(wait, self.says)


def _a_minute(calls: int, says: str) -> Throttle:
    return Throttle(Limit(calls, 60), f"more than {calls:,} {says} within a minute; slow down")


READS = _a_minute(1_200, "reads by one token or person")
WRITES = _a_minute(120, "writes by one token or person")
INGEST = _a_minute(settings.SELF_HEAL_INGEST_PER_MINUTE, "bodies by one token from one address")
BAD_TOKENS = _a_minute(30, "tokens that are not good, from one address; look whether yours was revoked or has expired")
FAILED_SIGN_INS = Throttle(Limit(30, 300), "more than 30 failed sign-ins from one address within 5 minutes")
ALL = (READS, WRITES, INGEST, BAD_TOKENS, FAILED_SIGN_INS)


def address_of(request: HttpRequest | Request) -> str | None:
    """The address of the client: what connected to us, or what the outermost of our proxies saw. None: a socket without one."""
    meta, proxies = request.META, settings.SELF_HEAL_PROXIES
    direct = _address(meta.get("REMOTE_ADDR", ""))
    if not proxies:
        return direct
    seen = [part.strip() for part in meta.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
    return (_address(seen[-min(proxies, len(seen))]) if seen else None) or direct


def source_of(request: HttpRequest | Request) -> str:
    """Who is counted as one: an IPv4 address, or the /64 that one IPv6 customer has."""
    address = address_of(request) or "local"
    if ":" not in address:
        return address
    return str(ipaddress.ip_network(f"{address}/64", strict=False))


class ApiThrottle(BaseThrottle):
    """The limit of the API: by token, else by person, else by address; the intake and other writes apart from reads."""

    def allow_request(self, request: Request, view: Any) -> bool:
        if getattr(view, "scopes", {}).get(request.method) == "ingest":
            INGEST.spend(f"{_caller(request)} {source_of(request)}")
        else:
            (READS if request.method in SAFE_METHODS else WRITES).spend(_caller(request))
        return True


def _caller(request: Request) -> str:
    token: Any = request.auth
    if token:
        return str(token.public_id)
    return str(request.user.pk) if request.user.is_authenticated else source_of(request)


def _address(text: str) -> str | None:
    """The address in `text` in its one form, without port, brackets and zone; None where there is none."""
    bare = text.rpartition("]")[0].lstrip("[") if text.startswith("[") else text
    bare = bare.rpartition(":")[0] if bare.count(":") == 1 else bare
    try:
        found = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)
