"""Grouped appends to the log, with signing and tree, against inserting the same leaves."""

from __future__ import annotations

import time
from statistics import median

from django.db import connection, transaction
from django.utils import timezone

from healing import ledger
from healing.ledger import keys, sequencer
from healing.models import LedgerOutbox
from selfheal.canonical import dumps

from .measure import ROUNDS, Row, rate

COUNT = 1_000


def log_append() -> Row:
    limit, rates = rate(_bare), []
    sequence()
    for _ in range(ROUNDS):
        fill()
        began = time.perf_counter()
        rates.append(sequence() / (time.perf_counter() - began))
    return Row("log entries sequenced a second", median(rates), limit, "≥ 10,000/s grouped")


def log_one_by_one() -> Row:
    """A leaf in a transaction of its own, against inserting it bare in one: both are on the disk when the next begins."""
    leaf = dumps(
        {"actor": "bench", "action": "bench", "resource": "bench:0", "subsystem": "healing", "result": "ok", "payload": {"n": 0}}
    )

    def bare() -> int:
        for _ in range(COUNT):
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("INSERT INTO healing_ledgeroutbox (leaf) VALUES (%s)", [leaf])
        return COUNT

    def appended() -> int:
        for n in range(COUNT):
            with transaction.atomic():
                ledger.append(actor="bench", action="bench", resource=f"bench:{n}", at=timezone.now(), payload={"n": n})
        return COUNT

    grouped = rate(lambda: fill() or COUNT)
    note = f"{grouped:,.0f}/s, {COUNT:,} in a transaction"
    return Row("log appends a second, one by one", rate(appended), rate(bare), "≥ 50 %; grouped ≥ 10,000/s", note)


def _bare() -> int:
    with transaction.atomic():
        LedgerOutbox.objects.bulk_create(LedgerOutbox(leaf=b"x" * 300) for _ in range(COUNT))
        transaction.set_rollback(True)  # no leaf: the sequencer would refuse it
    return COUNT


def fill() -> None:
    with transaction.atomic():
        for n in range(COUNT):
            ledger.append(actor="bench", action="bench", resource=f"bench:{n}", at=timezone.now(), payload={"n": n})


def sequence() -> int:
    signer, done = keys.load(), 0
    while count := sequencer.sequence_once(signer, timezone.now()):
        done += count
    return done
