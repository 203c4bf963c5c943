"""`http.request`: one request to a declared address; see `healing.http` for what it may reach."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from healing.http import Response, Unreachable, fetch, origin, parse, same_status
from healing.parameters import Duration, Strict, Text, frozen, one_line, validated
from healing.result import Result
from selfheal.errors import Invalid, NotAllowed
from selfheal.places import Place
from selfheal.states import Impact

from .base import SECRET, Context, Lasting

OURS = {"content-length", "transfer-encoding", "connection", "upgrade", "expect", "te", "trailer"}  # not for a playbook to set
READ_ONLY = ("GET", "HEAD")
EXCERPT = 2048


def _address(url: str) -> str:
    if SECRET.search(url):
        raise ValueError("must not hold a secret: addresses are written into logs; use `headers` or `auth`")
    try:
        parse(url)
    except Invalid as error:
        raise ValueError(error.message) from error
    return url


def _header(name: str) -> str:
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", name) or name.lower() in OURS:
        raise ValueError(f"must be a header name, and none of {', '.join(sorted(OURS))}")
    return name


def _one_line(value: str) -> str:
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise ValueError("must not hold control characters")
    return value


def absolute(given: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """`given` with a URL that begins with / put behind the address of selfheal itself, where the plan's domain has one."""
    url = given.get("url")
    if isinstance(url, str) and url.startswith("/") and place.base_url:
        return {**given, "url": place.base_url.rstrip("/") + url}
    return dict(given)


Address = Annotated[Text, AfterValidator(_address)]
Status = Annotated[int, Field(ge=100, le=599)]
Line = Annotated[Text, AfterValidator(_one_line)]


class Expect(Strict):
    status: Status | Annotated[list[Status], Field(min_length=1, max_length=50)] = 200


class Auth(Strict):
    """`{bearer}` or `{username, password}`; each may be, or hold, ${secret.NAME}."""

    bearer: Line | None = None
    username: Line | None = None
    password: Line | None = None

    @model_validator(mode="after")
    def one_kind(self) -> Self:
        if (self.bearer is None) == (self.username is None) or (self.username is None) != (self.password is None):
            raise ValueError("must hold `bearer`, or `username` and `password`")
        return self


class Parameters(Strict):
    method: Annotated[str, StringConstraints(pattern="^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$")] = "GET"
    url: Address
    headers: dict[Annotated[str, AfterValidator(_header)], Line] = {}
    auth: Auth | None = None
    json_: Any = Field(default=None, alias="json", serialization_alias="json")
    body: Text | None = None
    expect: Expect = Expect()
    timeout: Annotated[Duration, Field(ge=10, le=300_000)] = 10_000

    @model_validator(mode="after")
    def secrets_and_body(self) -> Self:
        if self.json_ is not None and self.body is not None:
            raise ValueError("must hold `json` or `body`, not both")
        if SECRET.search(json.dumps(self.json_)) or SECRET.search(self.body or ""):
            raise ValueError("must hold no secret in its body: only `headers` and `auth` may")
        if self.auth and any(name.lower() == "authorization" for name in self.headers):
            raise ValueError("must hold `auth` or an Authorization header, not both")
        return self


class HttpRequest(Lasting):
    """One request to a declared address, which answers with the status that it should."""

    name, impact = "http.request", Impact.LOW
    Parameters = Parameters

    def freeze(self, given: Mapping[str, Any], place: Place) -> dict[str, Any]:
        return frozen(validated(Parameters, absolute(given, place)))

    def idempotent(self, arguments: Mapping[str, Any]) -> bool:
        return arguments.get("method", "GET") in READ_ONLY

    def targets(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        return (origin(validated(Parameters, arguments).url),)

    def dry_run(self, arguments: Mapping[str, Any]) -> str:
        asked = validated(Parameters, arguments)
        return f"{asked.method} {one_line(asked.url)}"

    def run(self, arguments: Mapping[str, Any], context: Context) -> Result:
        asked = validated(Parameters, arguments)
        body = json.dumps(asked.json_).encode() if asked.json_ is not None else (asked.body or "").encode() or None
        try:
            answer = fetch(
                asked.method, asked.url, context.guard, headers=_headers(asked, context), body=body, timeout=asked.timeout / 1000
            )
        except (Invalid, NotAllowed, Unreachable) as error:
            return Result(False, str(error))
        return _judged(answer, asked)


def _headers(asked: Parameters, context: Context) -> dict[str, str]:
    headers = {name: context.reveal(value) for name, value in asked.headers.items()}
    if asked.json_ is not None and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "application/json"
    if asked.auth and asked.auth.bearer is not None:
        headers["Authorization"] = f"Bearer {context.reveal(asked.auth.bearer)}"
    elif asked.auth:
        pair = f"{context.reveal(asked.auth.username or '')}:{context.reveal(asked.auth.password or '')}"
        coded = b64encode(pair.encode()).decode()
        context.mask(coded)
        headers["Authorization"] = f"Basic {coded}"
    return headers


def _judged(answer: Response, asked: Parameters) -> Result:
    ok = same_status(answer.status, asked.expect.status)
    words = f"{asked.method} {asked.url} answered {answer.status}"
    data = {
        "status": answer.status,
        "address": answer.address,
        "bytes": len(answer.body),
        "truncated": answer.truncated,
        "body": answer.body[:EXCERPT].decode("utf-8", "replace"),
    }
    return Result(ok, words if ok else f"{words}, not {asked.expect.status}", data)
