"""Who may do what: roles, users, tokens.

Rules that this module keeps:
1. A role is a Django group and holds all that the role before it holds. Nobody gets a permission beside their role.
2. A token is kept as a hash, ends within 90 days and does no more than its scopes and its user's role both allow. Only a token
   that can do nothing but deliver alerts may never end.
3. Every change has its entry in the log, in its own transaction. Passwords and tokens are in no entry.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from knox.models import get_digest_token
from knox.settings import CONSTANTS

from healing import ledger
from healing.models import Token, User
from selfheal.errors import Conflict, Invalid
from selfheal.states import ROLES

_ADDS = {
    "operator": ("healing.operate",),
    "approver": ("healing.approve_approvalrequest",),
    "admin": (
        "healing.configure",
        "healing.view_channel",
        *(f"healing.{verb}_{model}" for model in ("user", "token") for verb in ("add", "change", "delete", "view")),
        "auth.view_group",
    ),
}
_NOT_FOR_VIEWERS = ("view_user", "view_token", "view_channel")

# What a scope asks of its user: a permission that the role must hold. None: any role.
SCOPES: dict[str, str | None] = {
    "ingest": None,
    "read": "healing.view_incident",
    "memory": "healing.view_incident",
    "operate": "healing.operate",
    "approve": "healing.approve_approvalrequest",
    "admin": "healing.configure",
}
LONGEST = timedelta(days=90)
DOMAIN = re.compile(r"[a-z][a-z0-9_-]{0,29}")


def permissions_of(role: str) -> list[Permission]:
    """Every permission that `role` holds, those of the roles before it included."""
    wanted = [name for below in ROLES[: ROLES.index(role) + 1] for name in _ADDS.get(below, ())]
    query = Q(content_type__app_label="healing", codename__startswith="view_") & ~Q(codename__in=_NOT_FOR_VIEWERS)
    for name in wanted:
        app, codename = name.split(".")
        query |= Q(content_type__app_label=app, codename=codename)
    return list(Permission.objects.filter(query).select_related("content_type"))


def ensure_roles(at: datetime) -> list[str]:
    """Make the groups of the roles hold exactly what they should; the names of those that changed. Needs a migrated database."""
    changed = []
    for role in ROLES:
        with transaction.atomic():
            group, _ = Group.objects.get_or_create(name=role)
            wanted = permissions_of(role)
            before = _names(group.permissions.select_related("content_type"))
            if before == _names(wanted):
                continue
            group.permissions.set(wanted)
            payload = {"before": before, "after": _names(wanted)}
            ledger.append(actor="system", action="role.set", resource=f"role:{role}", payload=payload, at=at)
            changed.append(role)
    return changed


def _names(permissions: Iterable[Permission]) -> list[str]:
    return sorted(f"{p.content_type.app_label}.{p.codename}" for p in permissions)


def role_of(user: User) -> str:
    """The highest role of `user`; empty for none."""
    groups = set(user.groups.values_list("name", flat=True))
    return next((role for role in reversed(ROLES) if role in groups), "")


def create_user(name: str, role: str, password: str, actor: str, at: datetime) -> User:
    """A user who may sign in. Raises Invalid for a name, role or password that will not do, Conflict for a name that is taken."""
    if role not in ROLES:
        raise Invalid(f"there is no role {role!r}; there are {', '.join(ROLES)}", field="role")
    user = User(username=name, is_staff=True)
    user.set_password(password)
    try:
        user.clean_fields()
        validate_password(password, user)
    except ValidationError as error:
        field = "name" if hasattr(error, "error_dict") else "password"
        raise Invalid(" ".join(error.messages), field=field) from None
    with transaction.atomic():
        if User.objects.filter(username__iexact=name).exists():
            raise Conflict(f"there is a user {name} already")
        user.save()
        user.groups.add(Group.objects.get_or_create(name=role)[0])
        log_user(user, "user.created", None, role, actor, at)
    return user


def standing(user: User) -> dict[str, Any]:
    """What a user may do, as the log tells it before and after a change. Read anew from the database."""
    row = User.objects.get(pk=user.pk)
    return {
        "name": row.username,
        "active": row.is_active,
        "staff": row.is_staff,
        "superuser": row.is_superuser,
        "roles": sorted(row.groups.values_list("name", flat=True)),
        "permissions": sorted(row.user_permissions.values_list("codename", flat=True)),
    }


def log_user(user: User, action: str, before: Mapping[str, Any] | None, changed: str, actor: str, at: datetime) -> None:
    """The entry of a change of a user; called in the transaction of the change."""
    payload = {"before": before, "after": standing(user), "changed": changed}
    ledger.append(actor=actor, action=action, resource=f"user:{user.pk}", payload=payload, at=at)


def log_password(user: User, actor: str, at: datetime) -> None:
    """A password was set, or taken away; nothing of it is told. Called in the transaction of the change."""
    payload = {"name": user.username, "usable": user.has_usable_password()}
    ledger.append(actor=actor, action="user.password_changed", resource=f"user:{user.pk}", payload=payload, at=at)


def first_admin(at: datetime) -> str:
    """Where nobody can administer yet: make the user `admin` and return its password. Otherwise the empty string."""
    if User.objects.filter(Q(groups__name="admin") | Q(is_superuser=True), is_active=True).exists():
        return ""
    password = new_password()
    try:
        create_user("admin", "admin", password, "system", at)
    except Conflict:  # a user of that name without the role: not ours to lift
        return ""
    return password


def new_password() -> str:
    """A password for people to type once: 96 bits."""
    return secrets.token_urlsafe(12)


def create_token(
    user: User,
    scopes: Iterable[str],
    expires_in: timedelta | None,
    name: str,
    actor: str,
    at: datetime,
    domains: Iterable[str] = (),
) -> tuple[Token, str]:
    """A token and its text, which nobody can read again. `expires_in` None: never. `domains`: whose memory it may ask.

    Whether the maker may hand out a domain is the caller's to know. Raises Invalid for an unknown scope, one that the user's role
    does not allow, a life that is too long, or a domain that is no name.
    """
    wanted = sorted(set(scopes), key=list(SCOPES).index) if set(scopes) <= set(SCOPES) else list(scopes)
    _check_scopes(user, wanted)
    _check_life(wanted, expires_in)
    named = sorted(set(domains))
    _check_domains(wanted, named)
    digest, text = get_digest_token()
    token = Token(
        digest=digest,
        token_key=text[: CONSTANTS.TOKEN_KEY_LENGTH],
        user=user,
        name=name,
        scopes=wanted,
        domains=named,
        expiry=at + expires_in if expires_in else None,
    )
    with transaction.atomic():
        token.save(force_insert=True)
        payload = {"user": user.username, "scopes": wanted, "name": name, "expires": _expiry(token)}
        payload |= {"domains": named} if named else {}
        ledger.append(actor=actor, action="token.created", resource=f"token:{token.public_id}", payload=payload, at=at)
    return token, text


def _check_scopes(user: User, scopes: list[str]) -> None:
    if not scopes:
        raise Invalid(f"name at least one scope of {', '.join(SCOPES)}", field="scopes")
    for scope in scopes:
        if scope not in SCOPES:
            raise Invalid(f"there is no scope {scope!r}; there are {', '.join(SCOPES)}", field="scopes")
        needed = SCOPES[scope]
        if not user.is_active or not role_of(user) or (needed and not user.has_perm(needed)):
            have = role_of(user) or "no role"
            raise Invalid(f"{user.username} ({have}) may not do what the scope {scope!r} allows", field="scopes")


def _check_life(scopes: list[str], expires_in: timedelta | None) -> None:
    if expires_in is None and scopes != ["ingest"]:
        raise Invalid("only a token with the scope ingest alone may never expire", field="expires")
    if expires_in is not None and not timedelta(0) < expires_in <= LONGEST:
        raise Invalid("a token lives from a second to 90 days", field="expires")


def _check_domains(scopes: list[str], domains: list[str]) -> None:
    if domains and "memory" not in scopes:
        raise Invalid("domains are for tokens with the scope memory", field="domains")
    for domain in domains:
        if not DOMAIN.fullmatch(domain):
            raise Invalid(
                f"{domain[:50]!r} is no name of a domain: 1 to 30 of a-z, 0-9, - and _, a letter first", field="domains"
            )


def _expiry(token: Token) -> str:
    return ledger.instant(token.expiry) if token.expiry else "never"


def list_tokens(user: User | None = None) -> QuerySet[Token]:
    """Tokens, newest first, with their users; of one user if given."""
    tokens = Token.objects.select_related("user").order_by("-created")
    return tokens.filter(user=user) if user else tokens


def revoke_token(public_id: str, actor: str, at: datetime) -> None:
    """End a token now, by its id. Raises Conflict where there is none (any more)."""
    with transaction.atomic():
        try:
            token = Token.objects.select_related("user").get(public_id=public_id)
        except (Token.DoesNotExist, ValidationError):
            raise Conflict(f"there is no token {public_id}; `selfheal token list` shows them") from None
        token.delete()
        payload = {"user": token.user.username, "name": token.name, "scopes": token.scopes, "expires": _expiry(token)}
        ledger.append(actor=actor, action="token.revoked", resource=f"token:{public_id}", payload=payload, at=at)
