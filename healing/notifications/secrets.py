"""Secrets of channels: named in an address, read when it is used, and never told.

An address that is one `${secret.NAME}` as a whole stands as the file has it; as a part of an address a secret is
percent-encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

from django.conf import settings

from healing.actions.base import SECRET, Context

SHORTEST = 6  # characters; masking shorter ones would garble the text and hide nothing
FILES, BYTES = 200, 16_384  # of SELF_HEAL_SECRETS_DIR that are looked at


def read(name: str) -> str:
    """The text of a secret. Raises Invalid if there is none; the message names the file, never the text."""
    return _context(lambda text: None).secret(name)


def reveal(url: str) -> tuple[str, list[str]]:
    """The address with its secrets in place, and every text that must not be told. Raises Invalid as `read` does."""
    found: list[str] = []
    return _context(found.append).address(url), found


def shown(url: str) -> str:
    """An address as a list or an entry may show it: where it leads, without what stands behind."""
    names = ", ".join(SECRET.findall(url))
    if SECRET.fullmatch(url):
        return f"the secret {names}"
    scheme, mark, rest = url.partition("://")
    host = rest.partition("/")[0].partition("?")[0].rpartition("@")[2] + "/" if scheme in ("http", "https") else ""
    with_secrets = f" (secrets: {names})" if names else ""
    return f"{scheme}{mark}{host}…{with_secrets}" if mark else "…"


def known() -> list[str]:
    """Every secret of this installation, for masking."""
    return [text for text in _all() if len(text) >= SHORTEST]


def _all() -> Iterator[str]:
    yield settings.SECRET_KEY
    yield from settings.SELF_HEAL_NOTIFY_URLS
    for address in (settings.CELERY_BROKER_URL, settings.SELF_HEAL_HEARTBEAT_URL):
        yield from filter(None, (_password(address),))
    yield str(settings.DATABASES["default"].get("PASSWORD") or "")
    yield from _files(settings.SELF_HEAL_SECRETS_DIR)


def _files(directory: Path) -> Iterator[str]:
    try:
        paths = sorted(directory.iterdir())[:FILES]
    except OSError:
        return
    for path in paths:
        try:
            with path.open("rb") as file:
                text = file.read(BYTES).decode("utf-8", "replace").strip()
        except OSError:  # a directory, or not ours to read: then it is in no message of ours either
            continue
        yield text
        yield quote(text, safe="")
        yield from (line.strip() for line in text.splitlines() if len(line) >= 20)


def _password(url: str) -> str:
    try:
        return urlsplit(url).password or ""
    except ValueError:
        return ""


def _context(mask: Callable[[str], None]) -> Context:
    return Context("", "", "", secrets_dir=settings.SELF_HEAL_SECRETS_DIR, mask=mask)
