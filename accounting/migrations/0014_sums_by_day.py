"""Ids of sums begin with their day, so that the rows of a day lie together in the tables' indexes."""

from django.db import migrations, models

TABLES = (
    "accounting_dailyusage",
    "accounting_dailylatency",
    "accounting_hourlyusage",
    "accounting_hourlyttft",
)
DAY = {
    "sqlite": "substr(replace(\"on\", '-', ''), 3)",
    "postgresql": "to_char(\"on\", 'YYMMDD')",
}


def begin_with_day(apps, schema_editor):
    """As accounting/rollups.py makes them: the day, then the first 26 digits of what was the id."""
    day = DAY[schema_editor.connection.vendor]
    for table in TABLES:
        schema_editor.execute(f'UPDATE "{table}" SET id = {day} || substr(id, 1, 26)')


class Migration(migrations.Migration):
    """Taking it back leaves the ids: an older version adds rows of its own, and roll_up_usage --repair makes one of them."""

    dependencies = [
        ('accounting', '0013_budget_alert_by_window'),
    ]

    operations = [
        migrations.RunPython(begin_with_day, migrations.RunPython.noop),
        migrations.AlterField(
            model_name='dailylatency',
            name='id',
            field=models.CharField(help_text='The day, then a digest of it, the words and the bucket.', max_length=32, primary_key=True, serialize=False),
        ),
        migrations.AlterField(
            model_name='dailyusage',
            name='id',
            field=models.CharField(help_text='The day, then a digest of it and the words.', max_length=32, primary_key=True, serialize=False),
        ),
        migrations.AlterField(
            model_name='hourlyttft',
            name='id',
            field=models.CharField(help_text='The day, then a digest of the hour and the bucket.', max_length=32, primary_key=True, serialize=False),
        ),
        migrations.AlterField(
            model_name='hourlyusage',
            name='id',
            field=models.CharField(help_text='The day, then a digest of the hour and the words.', max_length=32, primary_key=True, serialize=False),
        ),
    ]
