"""Where `incidents`, `why`, `approvals` and `runs` get their facts and do their acts.

With SELF_HEAL_TOKEN set: from the server at SELF_HEAL_BASE_URL, as the token's user. Without: on this machine, straight from the
database, by the very same views and services; whoever can read the home may read what is in it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any, Protocol
from urllib.parse import urlencode

import typer

from config.cli.base import fail, ready

PAGES = 20  # of a list, at most


class Server(Protocol):
    remote: bool

    def get(self, path: str, **query: Any) -> Any: ...

    def text(self, path: str) -> str: ...

    def post(self, path: str, body: dict[str, Any]) -> Any: ...


def connect() -> Server:
    """The server where a token names one, else this machine (and then Django is ready)."""
    token = os.environ.get("SELF_HEAL_TOKEN", "")
    if token:
        return Remote(base_url(), token)
    ready()
    return Local()


def rows(server: Server, path: str, limit: int, **query: Any) -> Iterator[dict[str, Any]]:
    """The rows of a list, page by page, `limit` at most."""
    page = server.get(path, limit=min(limit, 500), **{name: value for name, value in query.items() if value})
    for _ in range(PAGES):
        yield from page["results"][:limit]
        limit -= len(page["results"])
        if limit <= 0 or not page.get("next"):
            return
        page = server.get(page["next"])


class Remote:
    remote = True

    def __init__(self, base: str, token: str) -> None:
        import requests

        self.base, self.session = base, requests.Session()
        self.session.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str, **query: Any) -> Any:
        return _problem_or(*self._got(path, query))

    def text(self, path: str) -> str:
        return _text_or_problem(*self._got(path, {}))

    def _got(self, path: str, query: dict[str, Any]) -> tuple[int, bytes]:
        url = path if path.startswith(f"{self.base}/") else self.base + _below(path)
        answer = self.session.get(url, params=query, timeout=30, allow_redirects=False)
        return answer.status_code, answer.content

    def post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self.session.post(self.base + path, json=body, timeout=30, allow_redirects=False)
        return _problem_or(answer.status_code, answer.content)


class Local:
    remote = False

    def get(self, path: str, **query: Any) -> Any:
        return _problem_or(*self._got(path, query))

    def text(self, path: str) -> str:
        return _text_or_problem(*self._got(path, {}))

    def _got(self, path: str, query: dict[str, Any]) -> tuple[int, bytes]:
        from django.test import RequestFactory
        from django.urls import resolve

        from healing.access import SCOPES
        from healing.models import Token, User

        path = _below(path)
        request: Any = RequestFactory().get(path + (f"?{urlencode(query)}" if query else ""), headers={"host": "localhost"})
        request._force_auth_user = User(username="command line", is_superuser=True)
        request._force_auth_token = Token(scopes=list(SCOPES))
        found = resolve(request.path_info)
        response = found.func(request, *found.args, **found.kwargs)
        if hasattr(response, "render"):
            response.render()
        return response.status_code, response.content

    def post(self, path: str, body: dict[str, Any]) -> Any:
        raise NotImplementedError(f"{path}: acts on this machine go through the services")


def _below(link: str) -> str:
    """The path and query of a link to a further page, wherever it says that it is."""
    return link if link.startswith("/") else "/" + link.split("://", 1)[-1].partition("/")[2]


def _problem_or(status: int, body: bytes) -> Any:
    """The answer's JSON; its problem as a failure of the command."""
    try:
        found = json.loads(body) if body else {}
    except ValueError:
        found = {}
    if status >= 400:
        fail(str(found.get("detail") or found.get("title") or f"the server answered {status}"))
    return found


def _text_or_problem(status: int, body: bytes) -> str:
    if status != 200:
        _problem_or(max(status, 400), body)
    return body.decode(errors="replace")


def base_url() -> str:
    from config.env import ConfigError, load

    try:
        return str(load(os.environ)["SELF_HEAL_BASE_URL"])
    except ConfigError as error:
        print(*(f"selfheal: {line}" for line in error.lines), sep="\n", file=sys.stderr)
        raise typer.Exit(2) from None
