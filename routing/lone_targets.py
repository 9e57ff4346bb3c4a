"""A deployment as a target of its own, without an alias or a route that leads to it: for who chooses it by hand."""

from routing.models import Deployment
from routing.pictures import NO_FACTS, Facts, Snapshot, Target, traits_of
from routing.planning import Plan
from routing.snapshot import overrides_of


def target_of(held: Snapshot, deployment: Deployment) -> Target | None:
    """The deployment with the rules of its provider, but of no alias; None where its provider is not in force."""
    provider = held.providers.get(deployment.provider.slug)
    if provider is None:
        return None
    own = deployment.credential_id
    overrides = overrides_of(deployment)
    facts = Facts(deployment.takes_tools, deployment.takes_images, deployment.can_reason)
    return Target(
        pk=deployment.pk,
        provider=provider,
        upstream_model=deployment.upstream_model,
        traits=traits_of(provider, deployment.upstream_model, overrides),
        overrides=overrides,
        credentials=tuple(c for c in provider.credentials if own is None or c.pk == own),
        weight=1,
        context_window_tokens=deployment.context_window_tokens,
        facts=NO_FACTS if facts == NO_FACTS else facts,
        header_rules=provider.header_rules,
        request_edits=provider.request_edits,
        response_edits=provider.response_edits,
    )


def plan_to(held: Snapshot, target: Target, *, alias: str) -> Plan:
    """A plan that leads there and nowhere else; ``alias`` is the name under which it is booked."""
    return Plan(alias=alias, snapshot_number=held.number, targets=(target,))
