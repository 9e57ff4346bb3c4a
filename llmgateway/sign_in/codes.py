"""Reads the code of a second factor: of an authenticator app, each once, or a recovery code, each once for ever."""

import time
from typing import Any

from allauth.core import context
from allauth.core.internal.cryptokit import compare_user_code
from allauth.mfa import app_settings
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from allauth.mfa.utils import decrypt
from django.core.exceptions import ValidationError
from django.db import transaction

from llmgateway.sign_in import throttle

DRIFT_STEPS = 1
"""How many steps of 30 seconds the phone's clock may be off."""
WRONG = "This code is not right, or was used before. Enter the one that the app shows now, or a recovery code."


class _CheckedCode:
    """In the place of the library's check, which remembers used codes in the cache of one process."""

    user: Any
    authenticator: Authenticator
    cleaned_data: dict[str, Any]

    def clean_code(self) -> str:
        request = context.request
        code: str = self.cleaned_data["code"].replace(" ", "")
        if not throttle.may_try(request, self.user):
            raise ValidationError("Too many wrong codes.")
        found = _take(self.user, code)
        if found is None:
            throttle.note_wrong_code(request, self.user)
            raise ValidationError(WRONG)
        throttle.forget_wrong_codes(self.user.get_username())
        self.authenticator = found
        return code


class CodeForm(_CheckedCode, AuthenticateForm):
    """The code after the password."""


class CodeAgainForm(_CheckedCode, ReauthenticateForm):
    """The code before a change of the second factor."""


@transaction.atomic
def _take(user: Any, code: str) -> Authenticator | None:
    """The factor that the code is of, with the code used up; rows are locked, so that two requests cannot both use it."""
    rows = Authenticator.objects.select_for_update().filter(user=user)
    for row in rows.order_by("-type"):  # the app first
        if row.type == Authenticator.Type.TOTP and _is_of_app(row, code):
            row.user = user
            return row
        if row.type == Authenticator.Type.RECOVERY_CODES and row.wrap().validate_code(code):
            row.refresh_from_db()
            row.user = user
            return row
    return None


def _is_of_app(row: Authenticator, code: str) -> bool:
    secret = decrypt(row.data["secret"])
    now = int(time.time()) // app_settings.TOTP_PERIOD
    last: int = row.data.get("last_step", -1)
    for step in range(max(now - DRIFT_STEPS, last + 1), now + DRIFT_STEPS + 1):
        if compare_user_code(actual=code, expected=format_hotp_value(hotp_value(secret, step))):
            row.data["last_step"] = step
            row.save(update_fields=["data"])
            return True
    return False
