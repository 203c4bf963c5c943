"""Who is calling: a bearer token or a session.

Rules that this module keeps:
1. A token is hashed and scoped, and looked up at each request: what was revoked is refused at once, in every process.
2. Its last use is written at most once a minute, by one conditional UPDATE.
3. Whoever sends tokens that are not good is slowed down; a good one from the same address is not.
4. A session only reads, and only once nothing is missing of its sign-in.
"""

from __future__ import annotations

from datetime import timedelta
from hmac import compare_digest
from typing import Any, cast

from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from knox.auth import TokenAuthentication
from knox.crypto import hash_token
from knox.settings import CONSTANTS
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, PermissionDenied
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from healing import second_factor, throttle
from healing.access import SCOPES
from healing.models import Token, User

MOST_LENGTH = 200
TOUCH = timedelta(minutes=1)  # a token's last use is written at most so often
SCHEME = "Bearer"


class BearerAuthentication(TokenAuthentication):
    """knox's, but a token that has expired stays where a person can see it, and a strange header is a 401."""

    def authenticate_header(self, request: HttpRequest) -> str:
        return SCHEME

    def authenticate(self, request: Any) -> Any:
        try:
            return super().authenticate(request)
        except AuthenticationFailed:
            throttle.BAD_TOKENS.spend(throttle.source_of(request))
            raise

    def authenticate_credentials(self, token: bytes) -> tuple[User, Token]:
        found = _find(token)
        now = timezone.now()
        if found is None or not found.user.is_active:
            raise AuthenticationFailed("the token is unknown, or was revoked")
        if found.expiry is not None and found.expiry <= now:
            raise AuthenticationFailed("the token has expired")
        if found.last_used_at is None or found.last_used_at < now - TOUCH:
            stale = Q(last_used_at=None) | Q(last_used_at__lt=now - TOUCH)
            Token.objects.filter(stale, pk=found.pk).update(last_used_at=now)
        return found.user, found


class BrowserSession(SessionAuthentication):
    """The session of a signed-in browser, for reading: no write comes this way, so none can be forged."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        found = super().authenticate(request) if request.method in SAFE_METHODS else None
        if found and second_factor.missing(found[0]):
            raise PermissionDenied("the second factor of this session is missing: open a page of the admin and give it")
        return found


def bearer(request: HttpRequest, scope: str) -> Token:
    """The token of a plain Django request, if it may do what `scope` allows. Raises NotAuthenticated, Throttled and the like."""
    if not request.META.get("HTTP_AUTHORIZATION"):
        raise _with_header(NotAuthenticated("a token is needed: Authorization: Bearer …"))
    try:
        found = BearerAuthentication().authenticate(request)
    except AuthenticationFailed as error:
        raise _with_header(error) from error
    if found is None:
        raise _with_header(AuthenticationFailed("the only scheme is Bearer"))
    check(found[0], found[1], scope)
    _count(request, found[1], scope)
    return found[1]


def check(user: Any, token: Token | None, scope: str) -> None:
    """Raises PermissionDenied unless the token has the scope and the user's role allows it. A session may read."""
    if token is None and scope != "read":
        raise PermissionDenied("a session may only read here; use a token")
    if token is not None and scope not in token.scopes:
        raise PermissionDenied(f"this needs a token with the scope {scope}")
    needed = SCOPES[scope]
    if needed and not user.has_perm(needed):
        raise PermissionDenied(f"the role of {user.get_username()} does not allow what the scope {scope} does")


def caller(request: Request) -> User:
    """The user of a request that passed the permissions."""
    return cast(User, request.user)


def token_of(request: Request) -> Token | None:
    """The token that the request came with; None: a session."""
    return cast("Token | None", request.auth)


def _count(request: HttpRequest, token: Token, scope: str) -> None:
    if scope == "ingest":
        throttle.INGEST.spend(f"{token.public_id} {throttle.source_of(request)}")
    else:
        (throttle.READS if request.method in SAFE_METHODS else throttle.WRITES).spend(str(token.public_id))


def _find(text: bytes) -> Token | None:
    try:
        token = text[:MOST_LENGTH].decode("ascii")
    except UnicodeDecodeError:
        return None
    digest = hash_token(token)
    rows = Token.objects.filter(token_key=token[: CONSTANTS.TOKEN_KEY_LENGTH].replace("\0", "")).select_related("user")
    return next((row for row in rows if compare_digest(row.digest, digest)), None)


def _with_header(error: Any) -> Any:
    error.auth_header = SCHEME
    return error
