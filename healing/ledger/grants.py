"""Grants on PostgreSQL for the role of the processes, where another one owns the tables: it may add to the log, and read it.

The guards (triggers) refuse a change of the log to everybody, but an owner may drop them. A role that owns nothing may not, and
with these grants it is refused before a trigger is asked. The role that owns the tables carries out the migrations alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from healing.ledger.guards import OUTBOX, TABLES
from selfheal.errors import Invalid

NEVER = {**dict.fromkeys(TABLES, "UPDATE, DELETE, TRUNCATE"), OUTBOX: "UPDATE, TRUNCATE"}  # the sequencer takes rows out
OWNERS = ("django_migrations",)  # read by everybody, written by the owner


def statements(role: str, connection: BaseDatabaseWrapper | None = None) -> list[str]:
    """What the owner of the tables runs, now and after each migration. Safe to repeat."""
    quote = (connection or connections[DEFAULT_DB_ALIAS]).ops.quote_name
    name = quote(role)
    return [
        f"GRANT USAGE ON SCHEMA public TO {name}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}",
        f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {name}",
        *(f"REVOKE {what}, REFERENCES, TRIGGER ON {quote(table)} FROM {name}" for table, what in NEVER.items()),
        *(f"REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON {quote(table)} FROM {name}" for table in OWNERS),
    ]


def apply(role: str) -> None:
    """Raises Invalid unless the database is PostgreSQL, has the role, and the role owns nothing that it could undo this with."""
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.vendor != "postgresql":
        raise Invalid("grants are PostgreSQL's; on SQLite whoever may write the file may do everything", field="DATABASE_URL")
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = %s", [role])
        found = cursor.fetchone()
        if found is None:
            raise Invalid(f"the database has no role {role!r}; CREATE ROLE … LOGIN makes one", field="role")
        if found[0] or _owns(cursor, role):
            what = "is a superuser" if found[0] else "owns the tables"
            raise Invalid(f"{role!r} {what}, so no grant binds it; give the processes a role that is not", field="role")
        for statement in statements(role, connection):
            cursor.execute(statement)


def after_migrate(using: str, **_: Any) -> None:
    """For Django's post_migrate: what a migration made is granted to the roles that were granted the rest."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        for role in _granted(cursor):
            for statement in statements(role, connection):
                cursor.execute(statement)


def more_than_needed(connection: BaseDatabaseWrapper | None = None) -> list[str]:
    """What the role of this connection may do to the log beyond adding to it, as `DELETE on TABLE`; empty on SQLite."""
    connection = connection or connections[DEFAULT_DB_ALIAS]
    if connection.vendor != "postgresql":
        return []
    with connection.cursor() as cursor:
        return list(_more(cursor))


def _more(cursor: Any) -> Iterator[str]:
    for table, what in NEVER.items():
        for privilege in what.split(", "):
            cursor.execute("SELECT has_table_privilege(current_user, %s, %s)", [table, privilege])
            if cursor.fetchone()[0]:
                yield f"{privilege} on {table}"


def _owns(cursor: Any, role: str) -> bool:
    cursor.execute("SELECT pg_has_role(%s, relowner, 'MEMBER') FROM pg_class WHERE oid = %s::regclass", [role, OUTBOX])
    return bool(cursor.fetchone()[0])


def _granted(cursor: Any) -> list[str]:
    """The roles that this owner has granted adding to the log, if this role is the owner."""
    cursor.execute(
        "SELECT grantee FROM information_schema.role_table_grants "
        "WHERE table_name = %s AND privilege_type = 'INSERT' AND grantor = current_user AND grantee <> current_user",
        [OUTBOX],
    )
    return [name for (name,) in cursor.fetchall()]
