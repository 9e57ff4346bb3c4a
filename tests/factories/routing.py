"""The least valid rows of routing; a test states only what it is about."""

from typing import Any

from llmgateway.beginnings import add_target
from routing.models import Credential, Deployment, ModelAlias, Provider

SECRET = "sk-or-v1-planted-secret-0123456789abcdef"


def make_provider(slug: str = "openrouter", **fields: Any) -> Provider:
    """A provider of the kind openrouter."""
    return Provider.objects.create(**{"slug": slug, "kind": "openrouter", **fields})


def make_credential(
    provider: Provider, label: str = "main", secret: str = SECRET, **fields: Any
) -> Credential:
    """A credential with its secret sealed."""
    row = Credential(provider=provider, label=label, **fields)
    row.seal(secret)
    row.save()
    return row


def make_deployment(
    provider: Provider, model: str = "anthropic/claude-sonnet-4.5", **fields: Any
) -> Deployment:
    """A model of the provider, which gets a credential to be called with if it has none."""
    if not provider.credentials.exists():
        make_credential(provider)
    return Deployment.objects.create(provider=provider, upstream_model=model, **fields)


def make_alias(name: str, *deployments: Deployment, **fields: Any) -> ModelAlias:
    """An alias whose route ends at the deployments, in order."""
    alias = ModelAlias.objects.create(name=name, **fields)
    for deployment in deployments:
        add_target(alias, deployment)
    return alias
