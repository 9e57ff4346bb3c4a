"""Lines of keys: each key with those it was rotated from. To routing, reports, limits and budgets a line is one key."""

from accounting.models import VirtualKey


def newest_names() -> dict[int, str]:
    """For each key that was rotated, the name of the newest of its line. One query."""
    after = {
        old: (new, name)
        for new, old, name in VirtualKey.objects.filter(rotated_from__isnull=False)
        .order_by("pk")
        .values_list("pk", "rotated_from_id", "name")
        if old is not None
    }
    newest = {}
    for pk in after:
        follower, name = after[pk]
        while follower in after:
            follower, name = after[follower]
        newest[pk] = name
    return newest
