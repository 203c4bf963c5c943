"""`${…}`: a typed value in its place.

Rules that this module keeps:
1. A string that is one reference becomes the value, with its type.
2. A reference inside a longer string is allowed only where the string is prose or an address (`TEXT`), never in an argument
   list: an element of one is one element, whatever the value holds.
3. Inside a URL a value is percent-encoded (but for `/`) and cannot climb by `..`, unless it begins the URL or is a declared one.
4. What an alert said comes in only through a parameter, whose bounds hold it; its title may stand in prose.
5. `${secret.NAME}` stays a name, and stands only in headers, `auth` and `env`. No value may bring one along.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from selfheal.commands import as_text
from selfheal.errors import Invalid, NotApplicable

REFERENCE = re.compile(r"\$\{([^{}]*)\}")
PROSE = frozenset({"title", "body", "text", "message", "subject", "reason"})
TEXT = PROSE | {"url"}
SECRET_PLACES = frozenset({"headers", "auth", "env"})
SOURCES = (
    "incident.id",
    "incident.diagnosis",
    "incident.severity",
    "incident.title",
    "service.name",
    "service.url",
    "target.name",
    "target.host",
    "target.url",
)
_AS_THEY_ARE = ("service.name", "service.url", "target.name", "target.host", "target.url")
_SECRET = re.compile(r"secret\.[A-Za-z0-9_.-]{1,100}")
_LABEL = re.compile(r"service\.labels\.[A-Za-z_][A-Za-z0-9_./-]{0,99}")
_ALERT_LABEL = re.compile(r"incident\.labels\.[A-Za-z_][A-Za-z0-9_./-]{0,99}")
_GATHERED = re.compile(r"gather\.([a-z][a-z0-9_-]*)((?:\.[A-Za-z0-9_-]{1,100}){1,5})")

Path = tuple[str | int, ...]


def strings(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every string under `value` with its path; a mapping's keys too, at their own path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from strings(item, (*path, position))
    elif isinstance(value, dict):
        for key, item in value.items():
            if "${" in key:
                yield (*path, key), f"{key}(key)"
            yield from strings(item, (*path, key))


def wrong(text: str, path: Path, parameters: Collection[str], gathers: Collection[str], has_target: bool) -> str:
    """What is wrong with the references in the string at `path` of an action's arguments; empty: nothing."""
    if "${" not in text:
        return ""
    if "${" in REFERENCE.sub("", text):
        return "`${` has no `}` to it"
    whole = REFERENCE.fullmatch(text) is not None
    for name in REFERENCE.findall(text):
        said = _unknown(name, parameters, gathers, has_target) or _misplaced(name, path, whole)
        if said:
            return said
    return ""


def _unknown(name: str, parameters: Collection[str], gathers: Collection[str], has_target: bool) -> str:
    if name.startswith("target.") and not has_target:
        return f"${{{name}}}: a playbook with `targets: none` has no target"
    if name in SOURCES or _SECRET.fullmatch(name) or _LABEL.fullmatch(name):
        return ""
    if name.startswith("params."):
        known = ", ".join(parameters) or "none is declared"
        return "" if name.removeprefix("params.") in parameters else f"${{{name}}} names no parameter; known: {known}"
    if name.startswith("gather."):
        return "" if is_gathered(name, gathers) else f"${{{name}}}: {not_gathered(gathers)}"
    if name.startswith("incident.labels."):
        return f"${{{name}}}: what an alert says comes in by a parameter with `from: {name}`, which bounds it"
    return (
        f"${{{name}}} is unknown; known are params.*, gather.*, service.labels.*, secret.* (in headers, auth, env) and "
        f"{', '.join(SOURCES)}"
    )


def _misplaced(name: str, path: Path, whole: bool) -> str:
    if name.startswith("secret."):
        inside = any(part in SECRET_PLACES for part in path)
        return "" if inside else f"${{{name}}}: a secret stands only in {', '.join(sorted(SECRET_PLACES))}"
    if name == "incident.title" and (not path or path[0] not in PROSE):
        return f"${{{name}}} is text of an alert: it stands only in {', '.join(sorted(PROSE))}"
    if whole or (path and path[0] in TEXT):
        return ""
    return f"${{{name}}} is a value, not text to be put together: let it be the whole string"


def source_is_known(name: str, gathers: Collection[str]) -> bool:
    """Whether a parameter may be read `from` it."""
    return name in SOURCES or bool(_LABEL.fullmatch(name) or _ALERT_LABEL.fullmatch(name)) or is_gathered(name, gathers)


def is_gathered(name: str, gathers: Collection[str]) -> bool:
    """Whether it names a value of something that is gathered: `gather.ID.output`, `gather.ID.ok`, a fact of its data."""
    found = _GATHERED.fullmatch(name)
    return found is not None and found[1] in gathers


def not_gathered(gathers: Collection[str]) -> str:
    """What to write instead."""
    if not gathers:
        return "nothing is gathered here"
    return f"write gather.ID.output, gather.ID.ok or another fact; gathered here: {', '.join(gathers)}"


def lookup(name: str, scope: Mapping[str, Any]) -> Any:
    """The value of a dotted name in {incident, service, target, params, gather}; None if there is none, or it is empty."""
    root, _, rest = name.partition(".")
    value: Any = scope.get(root, {})
    if rest.startswith("labels."):
        value, rest = value.get("labels", {}), rest.removeprefix("labels.")
    for part in rest.split(".") if root == "gather" else [rest]:
        value = value.get(part) if isinstance(value, Mapping) else None
    return None if value == "" else value


def filled(value: Any, scope: Mapping[str, Any], path: Path = ()) -> Any:
    """`value` with every reference replaced. Raises NotApplicable for one that has no value."""
    if isinstance(value, list):
        items = [filled(item, scope, (*path, position)) for position, item in enumerate(value)]
        return [_element(item, (*path, n)) for n, item in enumerate(items)] if path and path[-1] == "argv" else items
    if isinstance(value, dict):
        return {key: filled(item, scope, (*path, key)) for key, item in value.items()}
    return _string(value, scope, path) if isinstance(value, str) else value


def _string(text: str, scope: Mapping[str, Any], path: Path) -> Any:
    whole = REFERENCE.fullmatch(text)
    if whole:
        return text if whole[1].startswith("secret.") else _value(whole[1], scope)

    def replaced(found: re.Match[str]) -> str:
        if found[1].startswith("secret."):
            return found[0]
        shown = _shown(_value(found[1], scope))
        encode = path[0] == "url" and found.start() > 0 and found[1] not in _AS_THEY_ARE
        return _in_url(shown, path) if encode else shown

    return REFERENCE.sub(replaced, text)


def _value(name: str, scope: Mapping[str, Any]) -> Any:
    found = lookup(name, scope)
    if found is None and name.startswith("params."):
        return ""  # a declared parameter always has a value; this one is the empty text
    if found is None:
        said = "is empty or was not told" if name.startswith("gather.") else "is not declared"
        raise NotApplicable(f"${{{name}}}: {name} {said}")
    if any("${secret." in text for _, text in strings(found)):
        raise Invalid("names a secret, and only a playbook may", field=name)
    return found


def _in_url(text: str, path: Path) -> str:
    if ".." in text.split("/"):
        raise Invalid(f"{text[:100]!r} would climb out of the path", field=".".join(map(str, path)))
    return quote(text, safe="/")


def _shown(value: Any) -> str:
    return ", ".join(map(as_text, value)) if isinstance(value, list) else as_text(value)


def _element(value: Any, path: Path) -> str:
    if isinstance(value, list | dict) or value is None:
        raise Invalid("a list cannot be one element of an argument list", field=".".join(map(str, path)))
    return as_text(value)
