"""A process of an older release, as the database sees it: `python -m tests.old_code` inserts, reads, changes and deletes a row of
each table with the columns that were there when it began, again and again, until its standard input ends.

Prints `ready` after the first round, then, at the end, the number of rounds as JSON. A query that fails ends it with status 1.
"""

from __future__ import annotations

import datetime
import itertools
import json
import select
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import django
from django.db import connection, models, transaction
from django.db.migrations.executor import MigrationExecutor

OURS = ("healing", "learning", "memory")
NUMBERS = itertools.count(1)
AT = datetime.datetime(2026, 11, 25, 12, tzinfo=datetime.UTC)


def known() -> list[type[models.Model]]:
    """The models as the migrations that are applied now have made them."""
    loader = MigrationExecutor(connection).loader
    state = loader.project_state([node for node in loader.applied_migrations if node in loader.graph.nodes])
    return [model for model in state.apps.get_models() if model._meta.app_label in OURS and not model._meta.auto_created]


def value(field: models.Field) -> Any:  # type: ignore[type-arg]
    """Something that fits into a column, other than what was there."""
    number = next(NUMBERS)
    if isinstance(field, (models.ForeignKey, models.OneToOneField)):
        return make(field.related_model)
    kinds: tuple[tuple[Any, Any], ...] = (
        (models.UUIDField, lambda: uuid.uuid4()),
        (models.DateTimeField, lambda: AT + datetime.timedelta(seconds=number)),
        (models.BooleanField, lambda: False),
        (models.JSONField, dict),
        (models.BinaryField, lambda: str(number).encode()),
        (models.SmallIntegerField, lambda: 2 + number % 1000),
        (models.PositiveSmallIntegerField, lambda: 2 + number % 1000),
        (models.IntegerField, lambda: 1_000_000 + number),
        (models.FloatField, lambda: number / 2),
        (models.EmailField, lambda: f"{number}@example.org"),
        (models.CharField, lambda: str(number)[: field.max_length]),
        (models.TextField, lambda: str(number)),
    )
    return next(made() for kind, made in kinds if isinstance(field, kind))


def make(model: type[models.Model]) -> models.Model:
    """A row with something in each column that has to have something."""
    said = {}
    for field in model._meta.concrete_fields:
        given = field.has_default() and not field.primary_key  # the one row of a table may be there
        needed = not field.null and not given and not isinstance(field, models.AutoField)
        if needed:
            said[field.name] = value(field)
    return model._default_manager.create(**said)


def one_round(all_of_them: list[type[models.Model]]) -> None:
    for model in all_of_them:
        with transaction.atomic():
            row = make(model)
            found = model._default_manager.get(pk=row.pk)
            if free(model):
                found.save(force_update=True)
            list(model._default_manager.all()[:5])
            transaction.set_rollback(True)


def free(model: type[models.Model]) -> bool:
    """Whether its rows may be changed: the log's may not."""
    return "ledger" not in model._meta.model_name


def lines(stream: Any) -> Iterator[bool]:
    """Whether it is open still, asked without waiting."""
    while not select.select([stream], [], [], 0)[0]:
        yield True


def main() -> None:
    django.setup()
    models_of_old = known()
    one_round(models_of_old)
    print("ready", flush=True)
    rounds = 0
    for _ in lines(sys.stdin):
        one_round(models_of_old)
        rounds += 1
    one_round(models_of_old)  # once more for certain after the end of it
    print(json.dumps({"rounds": rounds, "tables": len(models_of_old)}))


if __name__ == "__main__":
    main()
