"""A role that owns nothing, on a real PostgreSQL; on SQLite there are no roles, and that is said."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from healing import findings
from healing.ledger import grants, guards, patrol
from healing.ledger.sequencer import sequence_once
from healing.models import LedgerEntry, LedgerHead, LedgerOutbox
from selfheal.errors import Invalid

POSTGRESQL = connection.vendor == "postgresql"
COLUMN = dict(zip([*guards.TABLES, guards.OUTBOX], ["actor", "root", "note", "vkey", "leaf"], strict=True))
ROLE = f"selfheal_app_{os.environ.get('PYTEST_XDIST_WORKER', 'gw0')}"


@pytest.fixture
def role(transactional_db) -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {ROLE} LOGIN")
    yield ROLE
    with connection.cursor() as cursor:
        cursor.execute(f"DROP OWNED BY {ROLE}")
        cursor.execute(f"DROP ROLE {ROLE}")


@contextmanager
def acting_as(role: str) -> Iterator[None]:
    """A connection of that role, as its processes have it: not a role that a superuser has taken on."""
    owner = connection.settings_dict["USER"]
    connection.close()
    connection.settings_dict["USER"] = role
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["USER"] = owner


def said(act) -> str:
    try:
        with transaction.atomic():
            act()
    except DatabaseError as error:
        return str(error)
    return ""


def run(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


if POSTGRESQL:

    def test_the_role_adds_to_the_log_sequences_it_looks_at_it_and_migrates_nothing(role, write, signer, at):
        grants.apply(role)
        with acting_as(role):
            write(3)
            assert sequence_once(signer, at) == 4
            patrol.look(at)
            call_command("migrate", verbosity=0)
            assert (LedgerEntry.objects.count(), LedgerOutbox.objects.count(), patrol.state().is_wrong) == (4, 0, False)

    @pytest.mark.parametrize("table", [*guards.TABLES, guards.OUTBOX])
    @pytest.mark.parametrize(
        "sql",
        [
            "UPDATE {table} SET {column} = {column}",
            "TRUNCATE {table}",
            "ALTER TABLE {table} DISABLE TRIGGER ALL",
            "DROP TABLE {table}",
            "DROP TRIGGER {table}_no_update ON {table}",
            "CREATE TRIGGER x BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION selfheal_refuse()",
        ],
    )
    def test_the_role_is_refused_before_a_trigger_is_asked(role, grow, table, sql):
        grow(2)
        grants.apply(role)
        whole = sql.format(table=table, column=COLUMN[table])
        with acting_as(role):
            answer = said(lambda: run(whole))
        assert "permission denied" in answer or "must be owner" in answer

    @pytest.mark.parametrize("table", guards.TABLES)
    def test_the_role_deletes_nothing(role, grow, table):
        grants.apply(role)
        with acting_as(role):
            assert "permission denied" in said(lambda: run(f"DELETE FROM {table}"))

    def test_the_function_of_the_guards_cannot_be_replaced_by_the_role(role):
        grants.apply(role)
        with acting_as(role):
            made = "CREATE OR REPLACE FUNCTION selfheal_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$"
            answer = said(lambda: run(made))
        assert "permission denied" in answer or "must be owner" in answer

    def test_a_function_that_refuses_nothing_counts_as_missing_and_is_put_back(transactional_db):
        run("CREATE OR REPLACE FUNCTION selfheal_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$")
        assert "healing_ledgerentry_no_update" in guards.missing()
        guards.install()
        assert guards.missing() == []

    def test_what_a_migration_makes_is_granted_to_the_role_as_well(role):
        grants.apply(role)
        run("CREATE TABLE made_later (id int)")
        try:
            call_command("migrate", verbosity=0)
            with acting_as(role):
                assert said(lambda: run("INSERT INTO made_later VALUES (1)")) == ""
                assert "permission denied" in said(lambda: run("DELETE FROM healing_ledgerentry"))
        finally:
            run("DROP TABLE made_later")

    def test_an_owner_and_a_role_that_is_not_there_are_refused(role):
        with pytest.raises(Invalid, match="superuser"):
            grants.apply(connection.settings_dict["USER"])
        with pytest.raises(Invalid, match="no role 'nobody here'"):
            grants.apply("nobody here")
        run(f"ALTER TABLE {guards.OUTBOX} OWNER TO {role}")
        try:
            with pytest.raises(Invalid, match="owns the tables"):
                grants.apply(role)
        finally:
            run(f"ALTER TABLE {guards.OUTBOX} OWNER TO CURRENT_USER")

    def test_the_doctor_says_what_the_role_may(role):
        grants.apply(role)
        assert "UPDATE on healing_ledgerentry" in findings.log_grants().found
        with acting_as(role):
            assert findings.log_grants().found == "this role may add to the log and read it"

else:

    def test_without_roles_there_is_nothing_to_grant(db):
        with pytest.raises(Invalid, match="on SQLite whoever may write the file"):
            grants.apply(ROLE)
        assert grants.more_than_needed() == []


def test_the_statements_name_every_table_of_the_log():
    text = "\n".join(grants.statements('o"dd'))
    assert all(f'REVOKE {what}, REFERENCES, TRIGGER ON "{table}" FROM' in text for table, what in grants.NEVER.items())
    assert LedgerHead._meta.db_table in text
