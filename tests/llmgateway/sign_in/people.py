"""What tests of signing in do over and over: pages as a browser sees them, codes as a phone shows them."""

import time

from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from allauth.mfa.utils import decrypt
from django.contrib.auth.models import User
from django.test import Client

PASSWORD = "correct horse 1"
SIGN_IN = "/usage/sign-in/"
CODE = "/usage/sign-in/code/"
SECOND_FACTOR = "/usage/second-factor/"
SET_UP = "/usage/second-factor/set-up/"


def enter_password(client: Client, name: str, password: str = PASSWORD, **more: str):
    """The first half of a sign-in."""
    return client.post(SIGN_IN, {"username": name, "password": password, **more})


def code_of(secret: str, *, later: int = 0) -> str:
    """What the app shows, or will show so many steps later."""
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30 + later))


def set_up(client: Client) -> str:
    """Give the signed-in person a second factor; its secret."""
    client.get(SET_UP)
    secret = client.session["mfa.totp.secret"]
    answer = client.post(SET_UP, {"code": code_of(secret)})
    assert answer.status_code == 302, answer.content.decode()
    return secret


def secret_of(user: User) -> str:
    return decrypt(Authenticator.objects.get(user=user, type="totp").data["secret"])


def is_signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session
