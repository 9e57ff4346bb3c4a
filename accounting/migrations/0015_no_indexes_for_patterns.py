"""Takes the indexes away that Django adds on PostgreSQL for LIKE: nobody looks for the beginning of such an id.

Each costs a write for every usage record, and 50 bytes of disk.
"""

from django.db import migrations

TABLES = (
    "accounting_usagerecord",
    "accounting_dailyusage",
    "accounting_dailylatency",
    "accounting_hourlyusage",
    "accounting_hourlyttft",
    "accounting_requestlog",
)


def drop(apps, schema_editor):
    """Drop what is there of them; SQLite has none."""
    if schema_editor.connection.vendor != "postgresql":
        return
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname FROM pg_indexes"
            " WHERE schemaname = current_schema() AND tablename = ANY(%s) AND indexname LIKE %s",
            [list(TABLES), r"%\_like"],
        )
        names = [name for (name,) in cursor.fetchall()]
    for name in names:
        schema_editor.execute(f"DROP INDEX {schema_editor.quote_name(name)}")


class Migration(migrations.Migration):
    """Taking it back leaves them away: nothing needs them."""

    dependencies = [("accounting", "0014_sums_by_day")]

    operations = [migrations.RunPython(drop, migrations.RunPython.noop)]
