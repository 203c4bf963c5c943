"""What a migration may do while processes of the release before go on: their queries must find what they name, and may leave out
what they do not know."""

from __future__ import annotations

from django.db import connection, models
from django.db.migrations import operations as ops
from django.db.migrations.migration import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import NOT_PROVIDED

HARMLESS = (ops.CreateModel, ops.AddIndex, ops.RemoveIndex, ops.RenameIndex, ops.AlterModelOptions, ops.AlterModelManagers)
SAYS = "OLD_CODE"  # a migration that runs code or SQL says in a constant of this name why old code survives it


def breaks(migration: Migration, before: ProjectState, made: set[str]) -> list[str]:
    """A line for each operation that old code does not survive. `made`: models that it does not know, grown by what is made."""
    found, state = [], before.clone()
    for operation in _database(migration.operations):
        why = _why(operation, state, migration.app_label, made)
        if why and isinstance(operation, (ops.RunPython, ops.RunSQL)) and hasattr(type(migration), SAYS):
            why = ""
        if why:
            found.append(f"{migration}: {operation.describe()}: {why}")
        if isinstance(operation, ops.CreateModel):
            made.add(f"{migration.app_label}.{operation.name_lower}")
        operation.state_forwards(migration.app_label, state)
    return found


def _database(operations: list[Operation]) -> list[Operation]:
    """What is done to the database: of two halves, that one."""
    flat = []
    for each in operations:
        flat += _database(each.database_operations) if isinstance(each, ops.SeparateDatabaseAndState) else [each]
    return flat


def _why(operation: Operation, state: ProjectState, app: str, made: set[str]) -> str:
    """Empty, or why old code fails after it."""
    if isinstance(operation, HARMLESS):
        return ""
    if f"{app}.{getattr(operation, 'model_name_lower', '')}" in made:
        return ""  # old code does not know the table
    if isinstance(operation, ops.AddField):
        return _added(operation.field)
    if isinstance(operation, ops.AlterField):
        return _altered(state.models[app, operation.model_name_lower].fields[operation.name], operation.field)
    if isinstance(operation, ops.RemoveConstraint):
        return "a conflict that old code names (ON CONFLICT) may be no constraint any more"
    if isinstance(operation, (ops.AddConstraint, ops.AlterUniqueTogether)):
        return "old code may write what it refuses"
    if isinstance(operation, (ops.RunPython, ops.RunSQL)):
        return f"nobody can see what it does: say in {SAYS} why old code survives it"
    return "old code names what is gone: take it away in the release after the one that no longer uses it"


def _added(field: models.Field) -> str:  # type: ignore[type-arg]
    free = field.many_to_many or field.null or field.db_default is not NOT_PROVIDED
    return "" if free else "old code inserts without it: null=True or db_default"


def _altered(old: models.Field, new: models.Field) -> str:  # type: ignore[type-arg]
    if old.null and not new.null:
        return "old code may write NULL"
    if new.unique and not old.unique:
        return "old code may write what it refuses"
    grows = isinstance(new, models.CharField) and isinstance(old, models.CharField) and new.max_length >= old.max_length
    if old.db_parameters(connection)["type"] != new.db_parameters(connection)["type"] and not grows:
        return "old code may write what does not fit"
    return ""
