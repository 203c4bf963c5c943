"""Where tree heads go besides our database, as settings say it: witnesses, and places that keep what they are given.

witness   VKEY URL                            its public key (C2SP vkey of type 04) and the prefix of its add-checkpoint
place     file:///DIRECTORY                   a file a head, named by its size
          git+ssh://…  git+https://…  git+file:///…    a file `checkpoint`, a commit a head
          put+https://…                       PUT to …/SIZE.checkpoint
          post+https://…                      POST to the address itself
${secret.NAME} behind a put+ or post+ address is sent as a bearer token.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from selfheal.errors import Invalid, LedgerError
from selfheal.witness import Witness

MOST_NAME = 200
_SECRET = re.compile(r"\$\{secret\.([A-Za-z0-9_.-]+)\}")


class Kind(StrEnum):
    WITNESS = "witness"
    FILE = "file"
    GIT = "git"
    PUT = "put"
    POST = "post"


@dataclass(frozen=True)
class Place:
    """`name` is how people and the database call it, `address` where it is, `secret` the name of a file."""

    kind: Kind
    name: str
    address: str
    secret: str = ""
    witness: Witness | None = None


def parse_witness(text: str) -> Place:
    """Raises Invalid for what is no witness, saying how one is written."""
    vkey, _, url = text.strip().partition(" ")
    try:
        witness = Witness.parse(vkey)
    except LedgerError as error:
        raise Invalid(f"takes `VKEY URL` of a witness: {error}") from error
    return Place(Kind.WITNESS, _name(witness.name), _http(url.strip()).rstrip("/"), witness=witness)


def parse_place(text: str) -> Place:
    """Raises Invalid for what is no place, saying which there are."""
    name, _, rest = text.strip().partition(" ")
    secret = _SECRET.fullmatch(rest.strip())
    if rest and not secret:
        raise Invalid(f"{_shown(name)} may be followed by ${{secret.NAME}} and by nothing else")
    scheme, _, address = name.partition("+")
    if name.startswith("file:///") and not rest:
        return Place(Kind.FILE, _name(name), name.removeprefix("file://"))
    if scheme == "git" and not rest:
        return Place(Kind.GIT, _name(name), _repository(address))
    if scheme in (Kind.PUT, Kind.POST):
        return Place(Kind(scheme), _name(name), _http(address).rstrip("/"), secret[1] if secret else "")
    raise Invalid(
        f"{_shown(name)} is no place: there are file:///, git+ssh://, git+https://, git+file:///, put+ and post+https://"
    )


def _name(name: str) -> str:
    if len(name) > MOST_NAME:
        raise Invalid(f"{_shown(name)} has {len(name)} characters, the limit is {MOST_NAME}")
    return name


def _http(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise Invalid(f"{_shown(url)} must be an http or https address without ? and #")
    if parts.username is not None or parts.password is not None:
        raise Invalid("an address must not hold a name or a password: write ${secret.NAME} behind it")
    return url


def _repository(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("ssh", "https", "file") or not parts.path.strip("/"):
        raise Invalid(f"git+{_shown(url)} is no repository: write git+ssh://git@HOST/PATH, git+https://… or git+file:///PATH")
    if parts.password is not None:
        raise Invalid("the address of a repository must not hold a password: let git know it by a key or a credential helper")
    return url


def _shown(text: str) -> str:
    return repr(text[:100])
