"""The database's own full-text search over `words`: a generated tsvector with a GIN index, or an FTS5 table beside the rows."""

from django.db import migrations

MAKE = {
    "postgresql": (
        "ALTER TABLE memory_memory ADD COLUMN search tsvector "
        "GENERATED ALWAYS AS (array_to_tsvector(string_to_array(btrim(words), ' '))) STORED",
        "CREATE INDEX memory_search ON memory_memory USING gin (search)",
    ),
    "sqlite": (
        "CREATE VIRTUAL TABLE memory_words USING fts5(words, content='memory_memory', content_rowid='id', "
        "tokenize=\"ascii tokenchars '_'\", detail=none)",
    ),
}
UNMAKE = {
    "postgresql": ("ALTER TABLE memory_memory DROP COLUMN search",),
    "sqlite": ("DROP TABLE memory_words",),
}


def make(apps, editor):
    for statement in MAKE[editor.connection.vendor]:
        editor.execute(statement)


def unmake(apps, editor):
    for statement in UNMAKE[editor.connection.vendor]:
        editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("memory", "0001_memory_broker")]
    operations = [migrations.RunPython(make, unmake)]
