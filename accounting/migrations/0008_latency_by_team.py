"""Latencies are counted by team, and no longer by project, key and member: those were nearly as many rows as records."""

from hashlib import blake2b

from django.db import migrations
from django.db.models import Sum

WORDS = ("team", "provider", "provider_kind", "upstream_model", "measure", "bucket")
ROWS_AT_ONCE = 2000


def fold(apps, schema_editor):
    """Fold each day's rows into those of its teams, a day at a time; ids as accounting/rollups.py makes them."""
    rows = apps.get_model("accounting", "DailyLatency").objects.using(schema_editor.connection.alias)
    model = rows.model
    for on in rows.order_by("on").values_list("on", flat=True).distinct():
        of_day = rows.filter(on=on)
        sums = of_day.order_by().values(*WORDS).annotate(sum=Sum("count"))
        folded = [
            model(
                id=blake2b(
                    "\0".join(map(str, (on, *(row[word] for word in WORDS)))).encode(), digest_size=16
                ).hexdigest(),
                on=on,
                count=row["sum"],
                key_id=0,
                **{word: row[word] for word in WORDS},
            )
            for row in sums
        ]
        of_day.delete()
        rows.bulk_create(folded, batch_size=ROWS_AT_ONCE)


class Migration(migrations.Migration):
    """What is folded cannot be told apart again."""

    dependencies = [("accounting", "0007_latency_index")]

    operations = [migrations.RunPython(fold, migrations.RunPython.noop)]
