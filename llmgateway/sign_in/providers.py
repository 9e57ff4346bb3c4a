"""Whom an identity provider's word lets in, and as whom; django-allauth has checked by then that it is the provider's word.

An account is linked to the provider and its subject, nothing else. An e-mail address leads to an account that is here
already only where the operator says so, and never to one of staff: an address can be anybody's claim.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpRequest

from accounting.audit import actors
from accounting.audit.sign_ins import note_failure
from llmgateway.page_actors import address_of
from llmgateway.sign_in import groups
from llmgateway.sign_in.pages import refused

log = logging.getLogger(__name__)

NAME_CHARS_MAX = 150
NOT_IN_NAMES = re.compile(r"[^\w.@+-]")
FAILED = (
    "The sign-in could not be finished: what the identity provider sent does not hold. Try again."
)


class ProviderAdapter(DefaultSocialAccountAdapter):
    """Answers django-allauth's questions about somebody whom a provider vouches for."""

    def is_open_for_signup(self, _request: HttpRequest, _sociallogin: Any) -> bool:
        """Whom the provider vouches for gets an account."""
        return True

    def populate_user(self, request: HttpRequest, sociallogin: Any, data: Any) -> User:
        """With the provider's name for them, else their e-mail address, as far as names may hold it."""
        user: User = super().populate_user(request, sociallogin, data)
        user.username = _free_name(str(data.get("username") or data.get("email") or "person"))
        return user

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Refuse, link, or let pass; and have the memberships of an account follow the groups."""
        _check_domain(request, sociallogin)
        if not sociallogin.is_existing:
            _link_or_refuse(request, sociallogin)
        if sociallogin.is_existing:
            if not sociallogin.user.is_active:
                raise _refusal(
                    request,
                    f"The account {sociallogin.user.get_username()} is switched off. Ask whoever runs this gateway.",
                    name=sociallogin.user.get_username(),
                )
            _follow_groups(request, sociallogin)

    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> User:
        """A new account, with what the groups make of it."""
        name = sociallogin.user.get_username()
        who = actors.Actor(
            f"{sociallogin.provider.app.name}: sign-in of {name}",
            "page",
            address=address_of(request),
        )
        with actors.acting(lambda: who):
            user: User = super().save_user(request, sociallogin, form)
        _follow_groups(request, sociallogin)
        return user

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: Any = None,
        exception: Exception | None = None,
        extra_context: Any = None,
    ) -> None:
        """A page without details; the log has what kind of fault it was."""
        reason = (extra_context or {}).get("saml_last_error_reason") or exception or error
        log.warning(
            "sign-in refused",
            extra={"provider": getattr(provider, "name", ""), "reason": str(reason)[:300]},
        )
        raise _refusal(request, FAILED)


def _refusal(request: HttpRequest, sentence: str, *, name: str = "") -> ImmediateHttpResponse:
    note_failure(name)
    return ImmediateHttpResponse(refused(request, sentence))


def _address_counts(sociallogin: Any) -> str:
    """The e-mail address that may be relied on; empty where there is none."""
    user = sociallogin.user
    told = {row.email.lower(): row.verified is True for row in sociallogin.email_addresses}
    email = next(iter(told), "") or (user.email or "").lower()
    return email if told.get(email) or settings.LINK_BY_EMAIL == "trusted" else ""


def _told_address(sociallogin: Any) -> str:
    addresses = [row.email for row in sociallogin.email_addresses]
    return str(next(iter(addresses), "") or sociallogin.user.email or "").lower()


def _check_domain(request: HttpRequest, sociallogin: Any) -> None:
    domains = settings.SIGN_IN_DOMAINS
    if domains and _address_counts(sociallogin).rpartition("@")[2] not in domains:
        raise _refusal(
            request,
            f"Only people with a verified e-mail address of {' or '.join(domains)} are let in here.",
        )


def _link_or_refuse(request: HttpRequest, sociallogin: Any) -> None:
    """A first sign-in whose e-mail address somebody here has already."""
    told = _told_address(sociallogin)
    is_theirs = Q(email__iexact=told) | Q(emailaddress__email__iexact=told)
    found = list(User.objects.filter(is_theirs).distinct()[:2]) if told else []
    if not found:
        return
    user = found[0]
    may_link = settings.LINK_BY_EMAIL != "never" and _address_counts(sociallogin) == told
    may_link = may_link and _is_spelt_so(sociallogin.account, told)
    if len(found) == 1 and may_link and user.is_active and not user.is_staff:
        sociallogin.connect(request, user)
        return
    raise _refusal(
        request,
        f"Somebody here has the e-mail address {told} already. If that is you, sign in with your password, "
        "or ask whoever runs this gateway to join the two.",
        name=user.get_username(),
    )


def _is_spelt_so(account: Any, address: str) -> bool:
    """Whether the provider told this address in plain letters, and none that only becomes it in lower case.

    django-allauth lowers addresses, which makes a k of a Kelvin sign; databases find more such pairs.
    """
    texts = (text.strip() for text in _texts_in([account.uid, account.extra_data]))
    told = [text for text in texts if text.lower() == address]
    return address.isascii() and all(map(str.isascii, told))


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts_in(inner)


def _follow_groups(request: HttpRequest, sociallogin: Any) -> None:
    app = sociallogin.provider.app
    told = sociallogin.account.extra_data
    if app.provider == "saml":
        names = groups.read_groups(told, settings.SAML_GROUPS_ATTRIBUTE)
    else:
        # What the provider has signed goes before what its user-info page says.
        claim = settings.GROUPS_CLAIM
        names = groups.read_groups(told.get("id_token") or {}, claim) or groups.read_groups(
            told.get("userinfo") or {}, claim
        )
    groups.follow(sociallogin.user, names, provider=app.name, address=address_of(request))


def _free_name(wanted: str) -> str:
    """The name, or with a number behind it, such that nobody has it."""
    base = NOT_IN_NAMES.sub("-", wanted)[: NAME_CHARS_MAX - 8] or "person"
    name, number = base, 1
    while User.objects.filter(username__iexact=name).exists():
        number += 1
        name = f"{base}-{number}"
    return name
