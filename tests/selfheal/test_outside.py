from __future__ import annotations

import pytest

from selfheal.errors import Invalid
from selfheal.outside import Kind, Place, parse_place, parse_witness
from selfheal.witness import WitnessSigner

WITNESS = WitnessSigner("witness.example.com/w1", bytes(32)).witness


def test_a_witness_is_its_key_and_its_address():
    place = parse_witness(f" {WITNESS.vkey}  https://witness.example.com/prefix/ ")
    assert place == Place(Kind.WITNESS, WITNESS.name, "https://witness.example.com/prefix", witness=WITNESS)


@pytest.mark.parametrize("text", ["", "https://w", WITNESS.vkey, f"{WITNESS.vkey} ftp://w", f"{WITNESS.vkey} https://a:b@w"])
def test_what_is_no_witness_is_refused(text):
    with pytest.raises(Invalid):
        parse_witness(text)


@pytest.mark.parametrize(
    ("text", "kind", "address", "secret"),
    [
        ("file:///srv/heads", Kind.FILE, "/srv/heads", ""),
        ("git+ssh://git@host/heads.git", Kind.GIT, "ssh://git@host/heads.git", ""),
        ("git+file:///srv/heads.git", Kind.GIT, "file:///srv/heads.git", ""),
        ("put+https://store/heads/ ${secret.store}", Kind.PUT, "https://store/heads", "store"),
        ("post+http://host:8080/inbox", Kind.POST, "http://host:8080/inbox", ""),
    ],
)
def test_each_kind_of_place_is_read(text, kind, address, secret):
    assert parse_place(text) == Place(kind, text.split()[0], address, secret)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no place"),
        ("/srv/heads", "is no place"),
        ("file://relative", "is no place"),
        ("https://host/x", "is no place"),
        ("file:///srv ${secret.x}", "is no place"),
        ("git+ext::sh -c x", "followed by"),
        ("git+ext::sh", "is no repository"),
        ("git+ssh://host", "is no repository"),
        ("git+https://me:word@host/x", "must not hold a password"),
        ("put+https://me:word@host/x", "must not hold a name or a password"),
        ("put+https://host/x?a=b", "without ?"),
        ("put+https://host/x ../../etc", "followed by"),
        ("file:///" + "x" * 200, "the limit is 200"),
    ],
)
def test_what_is_no_place_is_refused_with_what_to_do(text, words):
    with pytest.raises(Invalid, match=words.replace("?", r"\?")):
        parse_place(text)
