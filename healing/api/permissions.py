"""What a token or a session may do."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from healing.api import auth


class HasScope(BasePermission):
    """The token's scope and the user's role. A view names scopes in `scopes`, by method; of several, any will do."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not request.user.is_authenticated:
            return False
        default = "read" if request.method in SAFE_METHODS else "operate"
        named = getattr(view, "scopes", {}).get(request.method, default)
        any_of = (named,) if isinstance(named, str) else named
        token = auth.token_of(request)
        held = token.scopes if token else ["read"]
        auth.check(request.user, token, next((scope for scope in any_of if scope in held), any_of[0]))
        return True
