"""How a service is controlled by itself: the addresses that its labels name, which only an administrator can set.

| label | GET answers | set by |
|---|---|---|
| `flags_url` | `URL/NAME` → `{"value": true}` | PUT `{"value": false}` |
| `instances_url` | `{"instances": 4}` | PUT `{"instances": 5}` |
| `log_level_url` | `URL/LOGGER` → `{"configuredLevel": "INFO"}` | POST `{"configuredLevel": "DEBUG"}` (Spring Boot's `loggers`) |
| `cache_url` | `{"warm": true}` | POST `{}` |
| `breakers_url` | `{"open": ["db"]}` | POST `{"close": ["db"]}` |

In them `${target.host}` stands for the target. `control_token` may name a secret, `${secret.NAME}`: it is sent as a bearer token.
They obey the guard of `http.request`: origins of services and SELF_HEAL_HTTP_ALLOW. Each setting is read back.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import AfterValidator, Field

from healing.http import Unreachable, fetch
from healing.parameters import Strict
from healing.result import Result
from selfheal.errors import Invalid, NotAllowed
from selfheal.places import Place
from selfheal.services import for_host

from .base import SECRET, Context
from .http_request import Address

TIMEOUT = 10.0
PAUSE = 0.5


def _secret(value: str) -> str:
    if not SECRET.fullmatch(value):
        raise ValueError("must be ${secret.NAME}, and nothing else")
    return value


class Control(Strict):
    """An address and who we are there: part of what is frozen."""

    url: Address
    token: Annotated[str, Field(max_length=200), AfterValidator(_secret)] | None = None


class ControlError(Exception):
    """The service could not be asked, or said no; the message says what."""


def declared(place: Place, label: str, *path: str) -> dict[str, str]:
    """`url` and `token` from the labels, for freezing. Raises Invalid naming the label."""
    if not place.labels.get(label):
        raise Invalid(f"must say where that is done: give service {place.service} this label", field=f"labels.{label}")
    url = "/".join((for_host(place.labels[label], place.target).rstrip("/"), *(quote(part, safe="") for part in path)))
    token = place.labels.get("control_token")
    return {"url": url, "token": token} if token else {"url": url}


def read(control: Control, context: Context) -> dict[str, Any]:
    """What GET answers, a JSON object. Raises ControlError."""
    answer = _ask("GET", control, context)
    try:
        value = json.loads(answer)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ControlError(f"{control.url} does not answer with a JSON object")
    return value


def write(method: str, control: Control, context: Context, value: Mapping[str, Any]) -> None:
    """Send `value`. Raises ControlError unless the answer is a 2xx."""
    _ask(method, control, context, json.dumps(value).encode())


def until(control: Control, context: Context, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Read until it is so, for as long as the step has time. Raises ControlError."""
    while not reached(found := read(control, context)):
        time.sleep(PAUSE)
    return found


def _ask(method: str, control: Control, context: Context, body: bytes | None = None) -> bytes:
    headers = {"Accept": "application/json"} | ({"Content-Type": "application/json"} if body is not None else {})
    try:
        if control.token:
            headers["Authorization"] = f"Bearer {context.reveal(control.token)}"
        answer = fetch(method, control.url, context.guard, headers=headers, body=body, timeout=TIMEOUT)
    except (Invalid, NotAllowed, Unreachable) as error:
        raise ControlError(str(error)) from error
    if not 200 <= answer.status < 300:
        raise ControlError(f"{method} {control.url} answered {answer.status}")
    return answer.body


def failed(error: ControlError) -> Result:
    return Result(False, str(error))
