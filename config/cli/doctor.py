"""Looks at everything that `up` needs, and says how to mend what is wrong. Works with the server down."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from config.cli.base import Failed, Json, now, print_json, print_table, ready
from selfheal import runbooks
from selfheal.findings import Finding

if TYPE_CHECKING:
    from healing.remote.client import Keys


def command(as_json: Annotated[bool, Json] = False) -> None:
    """Status 1 if something is wrong."""
    ready()
    found = list(look())
    tell(found, as_json)
    if not as_json and any(finding.what == "ssh key" and finding.ok for finding in found):
        print(f"\n{_how_to_prepare_hosts()}\n")
    judge(found)


def tell(found: Sequence[Finding], as_json: bool) -> None:
    if as_json:
        print_json([{**asdict(finding), "page": _page(finding)} for finding in found])
        return
    rows = [("ok" if f.ok else "WRONG", f.what, f.found, "" if f.ok else f.mend) for f in found]
    print_table(["", "what", "found", "mend it"], rows, "")
    for page in dict.fromkeys(filter(None, map(_page, found))):
        print(f"what to do: {page}")


def _page(finding: Finding) -> str:
    """Where it is said what to do about it; empty where it is well."""
    from django.conf import settings

    return "" if finding.ok else runbooks.address(finding.what, settings.SELF_HEAL_DOCS_URL)


def judge(found: Sequence[Finding]) -> None:
    """Raises Failed, naming what is wrong."""
    wrong = [finding.what for finding in found if not finding.ok]
    if wrong:
        raise Failed(f"{len(wrong)} of {len(found)} need you: {', '.join(wrong)}")


def look() -> Iterator[Finding]:
    """Every check, in the order in which one mends: a later one may fail because of an earlier one."""
    from healing import findings

    yield _settings()
    yield _proxies()
    if (yield from foundations()):
        yield findings.guarded("administrator", findings.administrator)
        yield findings.guarded("services and playbooks", _files)
        yield findings.guarded("advisers", lambda: findings.advisers(now()))
        yield from _ssh()


def foundations() -> Generator[Finding, None, bool]:
    """What everything else stands on; returns whether the database can be used."""
    from django.db import connection

    from healing import findings

    yield _home()
    yield _signing_key()
    yield _broker()
    database = _database()
    yield database
    if not database.ok:
        return False
    migrations = findings.guarded("migrations", findings.migrations)
    yield migrations
    if migrations.ok:
        yield findings.guarded("log guards", findings.log_guards)
        yield findings.guarded("log outside", findings.log_places)
        if connection.vendor == "postgresql":
            yield findings.guarded("log grants", findings.log_grants)
        yield findings.guarded("log patrol", lambda: findings.log_patrol(now()))
        yield findings.guarded("clock", lambda: findings.clocks(now()))
        yield findings.guarded("processes", lambda: findings.processes(now()))
        yield findings.guarded("runner pools", lambda: findings.runner_pools(now()))
    return migrations.ok


def _settings() -> Finding:
    from config.env import SETTINGS
    from healing.mode import global_mode

    given = [setting.name for setting in SETTINGS if os.environ.get(setting.name)]
    root = "; runs as root: so do the actions" if os.getuid() == 0 else ""
    return Finding("settings", True, f"mode {global_mode()}; {len(given)} set{root}")


def _proxies() -> Finding:
    from django.conf import settings

    count = settings.SELF_HEAL_PROXIES
    if settings.SECURE and not count:
        found = "SELF_HEAL_BASE_URL is https, so a proxy is in front, and everybody has its address: they are limited together"
        return Finding("proxies", False, found, "SELF_HEAL_PROXIES=1 (as many as there are), with X-Forwarded-For set by them")
    return Finding("proxies", True, f"{count or 'none'} in front")


def _home() -> Finding:
    from django.conf import settings

    home = settings.SELF_HEAL_HOME
    if not home.is_dir():
        return Finding("home", False, f"{home} is not there", "selfheal up makes it")
    found = home.stat()
    if found.st_uid != os.getuid():
        return Finding("home", False, f"{home} belongs to uid {found.st_uid}", f"chown -R {os.getuid()} {home}")
    if found.st_mode & 0o077:
        return Finding("home", False, f"{home} can be entered by others", f"chmod 700 {home}")
    return Finding("home", True, str(home))


def _signing_key() -> Finding:
    from django.conf import settings

    path = settings.SELF_HEAL_SIGNING_KEY_FILE
    if not path.exists():
        return Finding("signing key", True, f"{path} is not there yet: the sequencer makes it")
    if path.stat().st_mode & 0o077:
        return Finding("signing key", False, f"{path} can be read by others", f"chmod 600 {path}")
    return Finding("signing key", True, str(path))


def _broker() -> Finding:
    from django.conf import settings
    from kombu.exceptions import OperationalError

    from config import broker
    from config.celery import app

    socket = settings.EMBEDDED_BROKER_SOCKET
    if socket:
        ok = broker.answers(socket)
        return Finding("broker", ok, "embedded" if ok else f"does not answer on {socket}", "selfheal up starts it")
    try:
        with app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, timeout=3)
    except (OSError, OperationalError) as error:
        return Finding("broker", False, str(error), "start Redis, or correct CELERY_BROKER_URL")
    return Finding("broker", True, connection.as_uri())


def _database() -> Finding:
    from django.db import DatabaseError, connection

    try:
        connection.ensure_connection()
    except DatabaseError as error:
        mend = "correct DATABASE_URL, or start PostgreSQL" if connection.vendor == "postgresql" else "selfheal up makes it"
        return Finding("database", False, str(error).strip().partition("\n")[0], mend)
    return Finding("database", True, connection.vendor)


def _files() -> Finding:
    from django.conf import settings

    from healing import catalog

    report = catalog.sync(settings.SELF_HEAL_CONFIG_DIR, settings.SELF_HEAL_PLAYBOOK_DIRS, now(), "doctor", dry=True)
    if report.errors:
        return Finding("services and playbooks", False, report.errors[0], "correct the file; `selfheal playbooks lint` shows all")
    changed = "; `selfheal services sync` and `playbooks sync` would change what is in force" if report.changed else ""
    return Finding("services and playbooks", True, f"read without an error{changed}")


def _ssh() -> Iterator[Finding]:
    """Nothing, if no service says `via: ssh`."""
    from healing import catalog
    from healing.remote import setup
    from selfheal.errors import SelfhealError

    try:
        places = catalog.places_by_ssh()
    except SelfhealError:  # a file that cannot be read: that is said above
        return
    for each in setup.look(places, _keys()) if places else ():
        yield Finding(each.what, not each.wrong, each.wrong or each.found, each.mend)


def _how_to_prepare_hosts() -> str:
    from healing.remote import setup

    return setup.instructions(setup.public_key(_keys()))


def _keys() -> Keys:
    from django.conf import settings

    from healing.remote.client import Keys

    return Keys(settings.SELF_HEAL_SSH_KEY_FILE, settings.SELF_HEAL_SSH_KNOWN_HOSTS)
