"""What every quantity needs: its row in the table, rounds, and a database in which no other has left anything."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from django.db import connection

ROUNDS = 5


@dataclass
class Row:
    """`ours` and `limit` in the same unit, how many a second; `more` stands in the JSON alone."""

    quantity: str
    ours: float
    limit: float
    goal: str
    note: str = ""
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        return self.ours / self.limit


def rate(work: Callable[[], int]) -> float:
    """How many a second, the median of five rounds. `work` returns how many it did."""
    rates = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        count = work()
        rates.append(count / (time.perf_counter() - began))
    return median(rates)


class Copy:
    """A copy of the database as it was migrated, beside it. `within` is a block that works in it."""

    def __init__(self, suffix: str) -> None:
        connection.close()
        self.suffix, self.original = suffix, connection.settings_dict["NAME"]
        connection.creation.clone_test_db(suffix, verbosity=0)
        self.name = connection.creation.get_test_db_clone_settings(suffix)["NAME"]

    @contextmanager
    def within(self) -> Iterator[None]:
        connection.close()
        connection.settings_dict["NAME"] = self.name
        try:
            yield
        finally:
            connection.close()
            connection.settings_dict["NAME"] = self.original

    def drop(self) -> None:
        connection.creation.destroy_test_db(verbosity=0, suffix=self.suffix)


def alone(quantity: Callable[[], Row | None]) -> Row | None:
    """Measure it in a copy that is dropped afterwards."""
    copy = Copy(quantity.__name__)
    try:
        with copy.within():
            return quantity()
    finally:
        copy.drop()
