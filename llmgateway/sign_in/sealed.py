"""The sealed secrets of second factors, for when the key is changed or a phone is lost."""

from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.db import transaction

from accounting.audit import trail
from llmgateway.sign_in import throttle
from routing import secrets

SEALED = ("secret", "seed")
"""Where in a factor's data a sealed text stands: the app's key, and what the recovery codes are made from."""


def reseal() -> int:
    """Seal all with the newest key, within the caller's transaction; how many there were.

    Raises:
        SecretUnreadable: one was sealed with a key that is gone.
    """
    count = 0
    for row in Authenticator.objects.select_for_update():
        for name in SEALED:
            if name in row.data:
                row.data[name] = secrets.reseal(row.data[name])
                count += 1
        row.save(update_fields=["data"])
    return count


@transaction.atomic
def reset(user: User) -> bool:
    """Take the person's second factor and recovery codes away; False where there were none."""
    trail.take_turn()
    rows = Authenticator.objects.filter(user=user)
    had_any: bool = rows.exists()
    for row in rows:
        row.delete()
    throttle.forget_wrong_codes(user.get_username())
    return had_any
