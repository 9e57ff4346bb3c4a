"""Reads what settings.py was told of identity providers; refuses halves of it with a sentence. Pure: no environment, no network."""

import hashlib
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
OIDC_SCOPES = ["openid", "profile", "email"]
SAML_SLUG = "saml"
FILE = "file"
"""Stands for the address of metadata that lie in a file."""
# Where providers put them when they are not asked: by friendly name, by OID, and by Microsoft's claims.
SAML_EMAIL = (
    "email",
    "mail",
    "urn:oid:0.9.2342.19200300.100.1.3",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
)
SAML_NAME = ("username", "uid", "urn:oid:0.9.2342.19200300.100.1.1")


@dataclass(frozen=True, slots=True)
class Oidc:
    """An OpenID Connect provider, as the environment names it."""

    issuer: str = ""
    client_id: str = ""
    secret: str = ""
    name: str = ""
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Saml:
    """A SAML identity provider, as the environment names it. Its metadata is at an address or in a file."""

    metadata_url: str = ""
    metadata_file: str = ""
    idp_entity_id: str = ""
    entity_id: str = ""
    name: str = ""
    email_attribute: str = ""
    name_attribute: str = ""


def provider_id(kind: str, whose: str) -> str:
    """What accounts are linked under: another provider is another name, so that its subjects are never taken for these."""
    return f"{kind}-{hashlib.sha256(whose.encode()).hexdigest()[:12]}"


def oidc_apps(told: Oidc) -> list[dict[str, Any]]:
    """What django-allauth is told of the OpenID Connect provider; nothing where none is set.

    Raises:
        ImproperlyConfigured: a part of it is missing or cannot be.
    """
    given = {
        "GATEWAY_OIDC_ISSUER": told.issuer,
        "GATEWAY_OIDC_CLIENT_ID": told.client_id,
        "GATEWAY_OIDC_CLIENT_SECRET": told.secret,
    }
    if not any(given.values()):
        return []
    missing = [name for name, value in given.items() if not value]
    if missing:
        raise ImproperlyConfigured(
            f"Sign-in by OpenID Connect needs {' and '.join(missing)}, too; or leave out all of GATEWAY_OIDC_…"
        )
    _check_address("GATEWAY_OIDC_ISSUER", told.issuer)
    return [
        {
            "provider_id": provider_id("oidc", told.issuer),
            "name": told.name,
            "client_id": told.client_id,
            "secret": told.secret,
            "settings": {
                "server_url": told.issuer.rstrip("/"),
                "issuer": told.issuer,
                "scope": [*OIDC_SCOPES, *(s for s in told.scopes if s not in OIDC_SCOPES)],
                "oauth_pkce_enabled": True,
            },
        }
    ]


def saml_apps(told: Saml) -> list[dict[str, Any]]:
    """What django-allauth is told of the SAML provider; nothing where none is set.

    Raises:
        ImproperlyConfigured: as for ``oidc_apps``, or the packages for SAML are not installed.
    """
    if not (told.metadata_url or told.metadata_file):
        if told.entity_id or told.idp_entity_id:
            raise ImproperlyConfigured(
                "Sign-in by SAML needs GATEWAY_SAML_METADATA_URL or GATEWAY_SAML_METADATA_FILE, too."
            )
        return []
    if told.metadata_url and told.metadata_file:
        raise ImproperlyConfigured(
            "Set GATEWAY_SAML_METADATA_URL or GATEWAY_SAML_METADATA_FILE, not both."
        )
    if find_spec("onelogin") is None:
        raise ImproperlyConfigured(
            "Sign-in by SAML needs the extra saml, which is not installed: make setup EXTRAS=saml, "
            "or an image that is built with it (docs/operators/deployment.md)."
        )
    if told.metadata_url:
        _check_address("GATEWAY_SAML_METADATA_URL", told.metadata_url)
        idp = {"metadata_url": told.metadata_url, "entity_id": told.idp_entity_id or None}
    else:
        entity_id = told.idp_entity_id or _entity_in(told.metadata_file)
        idp = {
            "metadata_url": FILE,
            "metadata_file": told.metadata_file,
            "entity_id": entity_id,
        }
    mapping = {
        "email": [word for word in (told.email_attribute, *SAML_EMAIL) if word],
        "username": [word for word in (told.name_attribute, *SAML_NAME) if word],
        "uid": ["urn:oasis:names:tc:SAML:attribute:subject-id"],
        "email_verified": ["email_verified", "http://schemas.auth0.com/email_verified"],
    }
    return [
        {
            "provider_id": provider_id("saml", idp["entity_id"] or told.metadata_url),
            "name": told.name,
            "client_id": SAML_SLUG,
            "settings": {
                "idp": idp,
                "sp": {"entity_id": told.entity_id} if told.entity_id else {},
                "attribute_mapping": mapping,
                "advanced": {
                    "want_attribute_statement": False,
                    "allow_single_label_domains": True,  # https://gateway in a company's own network
                },
            },
        }
    ]


def _check_address(name: str, text: str) -> None:
    parts = urlsplit(text)
    is_near = parts.hostname in LOOPBACK and parts.scheme == "http"
    if not parts.hostname or (parts.scheme != "https" and not is_near):
        raise ImproperlyConfigured(f"{name} must be an address that begins with https://.")


def _entity_in(path: str) -> str:
    name = "GATEWAY_SAML_METADATA_FILE"
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"{name}: {error}") from error
    match = re.search(r"""\bentityID\s*=\s*["']([^"']+)["']""", text)
    if match is None:
        raise ImproperlyConfigured(
            f"{name}: {path} is no SAML metadata: it names no entityID. Download it from the identity provider."
        )
    return match[1]
