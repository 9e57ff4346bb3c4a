"""Pictures of routing without a database, for tests of what is done with them."""

import itertools
from typing import Any

from routing.pictures import CredentialPicture, ProviderPicture, RetryPolicy, Target, Timeouts
from routing.providers import KINDS
from routing.secrets import OpenedSecret

SECRET = "sk-or-v1-planted-secret-0123456789abcdef"
_numbers = itertools.count(1)


def picture_credential(
    label: str = "main", *, weight: int = 1, secret: str = SECRET
) -> CredentialPicture:
    """A credential, opened."""
    return CredentialPicture(next(_numbers), label, OpenedSecret(secret), weight)


def picture_provider(base_url: str = "", **fields: Any) -> ProviderPicture:
    """A provider of the kind openrouter, whose ``connect_s`` and other timeouts outlast a busy machine."""
    timeouts = {"connect_s": 60.0, "first_byte_s": 60.0, "idle_s": 60.0, "total_s": 100.0}
    timeouts.update({name: fields.pop(name) for name in list(timeouts) if name in fields})
    least: dict[str, Any] = {
        "pk": 1,
        "slug": "openrouter",
        "kind": KINDS[fields.pop("kind", "openrouter")],
        "base_url": base_url,
        "timeouts": Timeouts(**timeouts),
        "retries": RetryPolicy(0, 0.01, 0.05, frozenset({429, 503}), network_errors=True),
        "verify_tls": True,
        "ca_bundle_pem": "",
        "credentials": (picture_credential(),),
    }
    least["dialect"] = least["kind"].dialect
    return ProviderPicture(**{**least, **fields})


def picture_target(provider: ProviderPicture, **fields: Any) -> Target:
    """A target at the provider."""
    model = fields.pop("upstream_model", "anthropic/claude-sonnet-4.5")
    least: dict[str, Any] = {
        "pk": 1,
        "provider": provider,
        "upstream_model": model,
        "traits": provider.kind.traits_for(provider.dialect, model),
        "overrides": {},
        "credentials": provider.credentials,
        "weight": 1,
        "context_window_tokens": None,
    }
    return Target(**{**least, **fields})
