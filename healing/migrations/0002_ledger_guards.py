"""The log only grows: triggers that refuse the rest (healing.ledger.guards)."""

from django.db import migrations

from healing.ledger import guards


def install(apps, schema_editor):
    guards.install(schema_editor.connection)


def remove(apps, schema_editor):
    guards.remove(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("healing", "0001_initial")]

    operations = [migrations.RunPython(install, remove)]
