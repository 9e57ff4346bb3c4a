"""Providers, credentials, deployments, aliases, flags, tiers: where requests go. Rules are in rules.py."""

import asyncio
from datetime import UTC, datetime
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from llmgateway.api import access, fields, query, tokens
from llmgateway.api.authentication import token_of
from llmgateway.api.errors import invalid, of_django
from llmgateway.api.rows import EditableRows, RowSerializer
from routing import checks, flags, witnesses
from routing.checks import Finding
from routing.models import (
    AgentType,
    Credential,
    Deployment,
    FeatureFlag,
    ModelAlias,
    ModelTier,
    Provider,
    ProviderCheck,
    Route,
    RouteTarget,
)
from routing.models.provider import WHO_IS_SENT_SECRETS, problem_with_secret
from routing.synchronisation import FACTS, OPERATOR

ON_OR_OFF = query.truth("enabled")


def of_provider(**options: Any) -> fields.Named:
    """The field that names a provider."""
    return fields.Named(
        slug_field="slug",
        queryset=Provider.objects.all(),
        help_text="The provider's short name.",
        **options,
    )


def of_alias(**options: Any) -> fields.Named:
    """The field that names a model alias."""
    return fields.Named(
        slug_field="name",
        queryset=ModelAlias.objects.all(),
        help_text="The model alias's name.",
        **options,
    )


class CheckSerializer(serializers.ModelSerializer):
    """What the last look at a provider found."""

    credit_usd = fields.Amount(max_digits=20, decimal_places=8, allow_null=True, read_only=True)

    class Meta:
        model = ProviderCheck
        fields = ("checked_at", "problem", "detail", "credit_usd", "latency_ms")
        read_only_fields = fields


class ProviderSerializer(RowSerializer):
    """Someone the gateway calls."""

    retry_statuses = serializers.ListField(
        child=fields.Whole(),
        required=False,
        max_length=100,
        help_text=Provider._meta.get_field("retry_statuses").help_text,
    )
    last_check = CheckSerializer(read_only=True, allow_null=True)

    class Meta:
        model = Provider
        fields = (
            "slug", "kind", "base_url", "dialect", "enabled", "credential_mode",
            "connect_timeout_s", "first_byte_timeout_s", "idle_timeout_s", "total_timeout_s",
            "verify_tls", "ca_bundle_pem",
            "retries_max", "backoff_s", "backoff_max_s", "retry_statuses", "retry_network_errors",
            "concurrent_max", "queue_max", "queue_wait_s",
            "cooldown_after", "cooldown_s", "cooldown_max_s",
            "check_every_s", "check_model", "last_check", "created_at", "updated_at",
        )  # fmt: skip
        read_only_fields = ("created_at", "updated_at")

    def check(self, row: Provider, attrs: dict[str, Any]) -> None:
        """Who may not change credentials may not have them sent to somebody else either."""
        del attrs
        known = Provider.objects.filter(pk=row.pk, credentials__isnull=False).first()
        if known is None or not any(
            getattr(known, name) != getattr(row, name) for name in WHO_IS_SENT_SECRETS
        ):
            return
        request = self.context["request"]
        is_reached = tokens.allows(token_of(request), access.ADMIN)
        if not (is_reached and request.user.has_perm(access.permission(Credential, "change"))):
            raise PermissionDenied(
                f"{', '.join(WHO_IS_SENT_SECRETS)} of a provider with credentials say whom they are sent to: to change "
                "one asks for the scope admin, and the right to change credentials."
            )


class Providers(EditableRows):
    """Who the gateway calls."""

    model = Provider
    serializer_class = ProviderSerializer
    lookup_field = "slug"
    lookup_value_converter = "str"
    puts = True
    volatile = frozenset({"last_check", "updated_at"})
    filters: ClassVar = {"kind": query.words("kind"), "enabled": ON_OR_OFF}
    verb_of: ClassVar = {"check": "change"}

    def rows(self) -> Any:
        """With what the last look found."""
        return Provider.objects.select_related("last_check")

    @extend_schema(request=None, responses=CheckSerializer)
    @action(detail=True, methods=["post"])
    def check(self, request: Request, **_kwargs: Any) -> Response:
        """Look at the provider now, switched on or not, and say what was found."""
        del request
        row = self.get_object()
        state = asyncio.run(checks.look(checks.picture_of(row), row.check_model))
        checks.store(row.pk, Finding(state, datetime.now(UTC)))
        witnesses.told().secret_used(row, "Tested the connection, with its credentials.")
        return Response(CheckSerializer(ProviderCheck.objects.get(pk=row.pk)).data)


class CredentialSerializer(RowSerializer):
    """A provider's secret: written, and never read back."""

    provider = of_provider()
    secret = fields.Text(
        write_only=True,
        required=False,
        max_length=10_000,
        help_text="Sealed when saved, never shown again. Left out of a change: the present one stays.",
    )
    not_cleaned = ("sealed_secret",)

    class Meta:
        model = Credential
        fields = ("id", "provider", "label", "secret", "last_four", "weight", "enabled", "sealed_at", "created_at")  # fmt: skip
        read_only_fields = ("id", "last_four", "sealed_at", "created_at")

    def row_values(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Without the secret."""
        return {name: value for name, value in attrs.items() if name != "secret"}

    def check(self, row: Credential, attrs: dict[str, Any]) -> None:
        """Take the secret that a header can hold; a new credential needs one."""
        secret = attrs.get("secret", "")
        problem = problem_with_secret(secret, is_new=not row.sealed_secret)
        if problem:
            raise invalid({"secret": [problem]})
        if secret:
            row.seal(secret)


class Credentials(EditableRows):
    """Secrets of providers. A token needs the scope admin to change one."""

    model = Credential
    serializer_class = CredentialSerializer
    filters: ClassVar = {
        "provider": query.words("provider__slug"),
        "label": query.words("label"),
        "enabled": ON_OR_OFF,
    }
    scopes: ClassVar = dict.fromkeys(
        ("create", "update", "partial_update", "destroy"), access.ADMIN
    )

    def rows(self) -> Any:
        """With their providers."""
        return Credential.objects.select_related("provider")


class DeploymentSerializer(RowSerializer):
    """One callable model of a provider."""

    provider = of_provider()
    credential = fields.Numbered(
        queryset=Credential.objects.all(),
        allow_null=True,
        required=False,
        help_text="The credential's number. Empty: any enabled credential of the provider, by weight.",
    )
    parameters = fields.JsonObject(
        required=False, help_text=Deployment._meta.get_field("parameters").help_text
    )
    traits = fields.JsonObject(
        required=False, help_text=Deployment._meta.get_field("traits").help_text
    )
    fact_sources = fields.JsonObject(read_only=True)

    class Meta:
        model = Deployment
        fields = (
            "id", "provider", "upstream_model", "credential", "enabled",
            "context_window_tokens", "max_output_tokens",
            "takes_tools", "takes_images", "can_reason", "can_cache", "fact_sources",
            "parameters", "traits",
        )  # fmt: skip
        read_only_fields = ("id",)

    def row_values(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """With a note on the facts that are edited here, as the admin makes it: no synchronisation replaces them."""
        row = self.instance
        edited = {
            name: OPERATOR
            for name in FACTS
            if name in attrs and (row is None or getattr(row, name) != attrs[name])
        }
        if not edited:
            return attrs
        return {**attrs, "fact_sources": {**(row.fact_sources if row else {}), **edited}}


class Deployments(EditableRows):
    """What can be called: one model at one provider."""

    model = Deployment
    serializer_class = DeploymentSerializer
    filters: ClassVar = {
        "provider": query.words("provider__slug"),
        "upstream_model": query.words("upstream_model"),
        "enabled": ON_OR_OFF,
    }

    def rows(self) -> Any:
        """With their providers."""
        return Deployment.objects.select_related("provider", "credential")


class TargetSerializer(RowSerializer):
    """One entry of a route."""

    deployment = fields.Numbered(
        queryset=Deployment.objects.select_related("provider"),
        help_text="The deployment's number.",
    )
    provider = serializers.CharField(source="deployment.provider.slug", read_only=True)
    upstream_model = serializers.CharField(source="deployment.upstream_model", read_only=True)
    parameters = fields.JsonObject(
        required=False, help_text=RouteTarget._meta.get_field("parameters").help_text
    )
    not_cleaned = ("route",)

    class Meta:
        model = RouteTarget
        fields = (
            "deployment", "provider", "upstream_model", "position", "weight",
            "prompt_tokens_over", "prompt_tokens_at_most",
            "only_with_tools", "only_with_images", "only_with_reasoning", "parameters",
        )  # fmt: skip


class RouteSerializer(RowSerializer):
    """A list of targets, with the conditions under which it is taken."""

    targets = TargetSerializer(many=True, required=False, max_length=200)  # type: ignore[call-arg]
    not_cleaned = ("alias",)

    class Meta:
        model = Route
        fields = (
            "position", "strategy", "is_sticky", "enabled", "teams", "projects", "keys",
            "agent_types", "tiers", "request_classes", "header", "targets",
        )  # fmt: skip

    def row_values(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Without its targets."""
        return {name: value for name, value in attrs.items() if name != "targets"}


class AliasSerializer(RowSerializer):
    """A name that clients ask for, with its routes. Routes that are given replace all that are there."""

    routes = RouteSerializer(many=True, required=False, max_length=200)  # type: ignore[call-arg]

    class Meta:
        model = ModelAlias
        fields = ("id", "name", "match", "visible", "enabled", "description", "routes")
        read_only_fields = ("id",)

    def row_values(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Without its routes."""
        return {name: value for name, value in attrs.items() if name != "routes"}

    def check(self, row: ModelAlias, attrs: dict[str, Any]) -> None:
        """Refuse a route that has a target twice."""
        del row
        for index, route in enumerate(attrs.get("routes", ())):
            numbers = [target["deployment"].pk for target in route.get("targets", ())]
            if len(set(numbers)) < len(numbers):
                raise invalid({f"routes.{index}.targets": ["A route has a target twice."]})

    def keep(self, row: ModelAlias, attrs: dict[str, Any]) -> ModelAlias:
        """Save it with its routes; they keep their rows by their place, targets by their deployment."""
        row.save()
        wanted = attrs.get("routes")
        if wanted is None and self.instance is not None and not self.partial:
            wanted = []
        if wanted is None:
            return row
        present = list(row.routes.order_by("position", "pk"))
        for spare in present[len(wanted) :]:
            spare.delete()
        for index, values in enumerate(wanted):
            route = present[index] if index < len(present) else Route(alias=row)
            _fill(route, values, RouteSerializer)
            _keep_targets(route, values.get("targets", []))
        return row


def _fill(row: Any, values: dict[str, Any], serializer: type[RowSerializer]) -> None:
    """Give a row these values, and first ones for the others, and save it where something is different."""
    columns = {column.name: column for column in row._meta.concrete_fields}
    for name in serializer.Meta.fields:
        if name in columns and (
            name in values
            or columns[name].has_default()
            or columns[name].null
            or columns[name].blank
        ):
            setattr(row, name, values.get(name, columns[name].get_default()))
    try:
        row.full_clean(exclude=["alias"])
    except ValidationError as error:
        raise of_django(error) from error
    row.save()


def _keep_targets(route: Route, wanted: list[dict[str, Any]]) -> None:
    present = {target.deployment_id: target for target in route.targets.all()}
    kept = {values["deployment"].pk for values in wanted}
    for number, target in present.items():
        if number not in kept:
            target.delete()
    for place, values in enumerate(wanted):
        target = present.get(values["deployment"].pk) or RouteTarget(route=route)
        _fill(target, {"position": place, **values}, TargetSerializer)


class Aliases(EditableRows):
    """The names that clients ask for, with their routes and targets."""

    model = ModelAlias
    serializer_class = AliasSerializer
    filters: ClassVar = {
        "name": query.words("name"),
        "match": query.one_of("match", ModelAlias.Match.values),
        "enabled": ON_OR_OFF,
    }

    def rows(self) -> Any:
        """With their routes and targets."""
        return ModelAlias.objects.prefetch_related("routes__targets__deployment__provider")


class FlagSerializer(RowSerializer):
    """A row that switches a flag: for everybody, a team, or one of its keys."""

    class Meta:
        model = FeatureFlag
        fields = ("id", "name", "enabled", "team", "key", "percentage")
        read_only_fields = ("id",)


class DeclaredFlagSerializer(serializers.Serializer):
    """A flag as code declares it."""

    name = serializers.CharField()
    sentence = serializers.CharField()


class Flags(EditableRows):
    """Feature flags: a row for each scope in which one is switched."""

    model = FeatureFlag
    serializer_class = FlagSerializer
    filters: ClassVar = {
        "name": query.words("name"),
        "team": query.words("team"),
        "enabled": ON_OR_OFF,
    }

    @extend_schema(responses=DeclaredFlagSerializer(many=True), filters=False)
    @action(detail=False, pagination_class=None)
    def declared(self, request: Request) -> Response:
        """List the flags there are, and what each does."""
        del request
        known = flags.DECLARED.values()
        return Response([{"name": flag.name, "sentence": flag.sentence} for flag in known])


class TierSerializer(RowSerializer):
    """A word for how good a model is needed."""

    alias = of_alias()

    class Meta:
        model = ModelTier
        fields = ("slug", "alias", "description")


class Tiers(EditableRows):
    """Model tiers, and the aliases that serve them."""

    model = ModelTier
    serializer_class = TierSerializer
    lookup_field = "slug"
    lookup_value_converter = "str"
    puts = True
    filters: ClassVar = {"alias": query.words("alias__name")}

    def rows(self) -> Any:
        """With their aliases."""
        return ModelTier.objects.select_related("alias")


class AgentTypeSerializer(RowSerializer):
    """A sort of program, told by a header."""

    tier = fields.Named(
        slug_field="slug",
        queryset=ModelTier.objects.all(),
        allow_null=True,
        required=False,
        help_text="The tier's short name.",
    )

    class Meta:
        model = AgentType
        fields = ("slug", "header", "value", "tier", "position", "enabled")


class AgentTypes(EditableRows):
    """Sorts of programs, and the model tiers they are given."""

    model = AgentType
    serializer_class = AgentTypeSerializer
    lookup_field = "slug"
    lookup_value_converter = "str"
    puts = True
    filters: ClassVar = {"tier": query.words("tier__slug"), "enabled": ON_OR_OFF}

    def rows(self) -> Any:
        """With their tiers."""
        return AgentType.objects.select_related("tier")
