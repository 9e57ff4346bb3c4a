"""The number that tells the serving processes that keys, teams or prices have changed."""

from django.db import models


class KeysVersion(models.Model):
    """A single row: counted up by every change of a team, key or price, watched by every serving process."""

    number = models.PositiveBigIntegerField(default=0)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(name="keys_version_is_one_row", condition=models.Q(pk=1)),
        ]

    def __str__(self) -> str:
        return f"keys version {self.number}"
