"""The watch of unlogged.py sees what it is there for: code of ours is played by a function compiled as if it were."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from django.apps import apps
from django.db import DatabaseError

from healing.models import Service
from tests import unlogged
from tests.factories import make_service

SOURCE = """
from django.db import DatabaseError, transaction
from healing import ledger
from healing.models import Counter, Service

def play(*acts, service, at):
    with transaction.atomic():
        for act in acts:
            if act == "change":
                Service.objects.filter(pk=service.pk).update(owner="ann")
            elif act == "log":
                ledger.append(actor="a", action="b", resource="c", at=at)
            elif act == "count":
                Counter.objects.create(name="x", value=1, updated_at=at)
            elif act == "change nothing":
                Service.objects.filter(pk=None).update(owner="ann")
            elif act == "fail":
                raise DatabaseError
"""


@pytest.fixture
def _nothing_governed_changes_without_an_entry() -> None:
    """Here it does."""


@pytest.fixture
def play(db: Any, at: datetime) -> Callable[..., None]:
    space: dict[str, Any] = {}
    exec(compile(SOURCE, str(unlogged.ROOT / "healing" / "played.py"), "exec"), space)
    return partial(space["play"], service=make_service("web"), at=at)


def test_a_change_without_an_entry_is_found_with_the_function_that_made_it(play: Any) -> None:
    with unlogged.watched() as watch:
        play("change")
    assert watch.unlogged() == ["UPDATE healing.Service in healing/played.py: play"]


def test_a_change_with_its_entry_is_none(play: Any) -> None:
    with unlogged.watched() as watch:
        play("change", "log")
        play("log", "change")
    assert watch.unlogged() == []


def test_an_entry_in_another_transaction_does_not_count(play: Any) -> None:
    with unlogged.watched() as watch:
        play("log")
        play("change")
    assert watch.unlogged() != []


def test_what_is_rolled_back_and_what_changes_no_row_are_none(play: Any) -> None:
    with unlogged.watched() as watch:
        with pytest.raises(DatabaseError):
            play("change", "fail")
        play("change nothing")
    assert watch.unlogged() == []


def test_what_is_not_governed_and_what_tests_write_are_none(play: Any) -> None:
    with unlogged.watched() as watch:
        play("count")
        Service.objects.update(owner="ann")
    assert watch.unlogged() == []


def test_every_name_that_is_free_is_there() -> None:
    models = {model._meta.label: model for model in apps.get_models()}
    assert set(unlogged.FREE) <= set(models)
    for label, columns in unlogged.FREE_COLUMNS.items():
        assert set(columns) <= {field.column for field in models[label]._meta.fields}
    for place in unlogged.FREE_FUNCTIONS:
        path, _, name = place.partition(": ")
        assert f"def {name}(" in (unlogged.ROOT / path).read_text()
