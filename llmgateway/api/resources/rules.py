"""Header rules and transformations: what is changed of requests and answers on their way."""

from typing import Any, ClassVar

from llmgateway.api import fields, query
from llmgateway.api.resources.routing import ON_OR_OFF, of_alias, of_provider
from llmgateway.api.rows import EditableRows, RowSerializer
from routing.models import HeaderRule, Transformation


class ScopedSerializer(RowSerializer):
    """A rule for everything, a provider, or the routes of an alias."""

    provider = of_provider(allow_null=True, required=False)
    alias = of_alias(allow_null=True, required=False)


class HeaderRuleSerializer(ScopedSerializer):
    """One rule on one header."""

    class Meta:
        model = HeaderRule
        fields = ("id", "action", "name", "value", "scope", "provider", "alias", "position", "enabled")  # fmt: skip
        read_only_fields = ("id",)


class HeaderRules(EditableRows):
    """What providers are told beside the body."""

    model = HeaderRule
    serializer_class = HeaderRuleSerializer
    filters: ClassVar = {
        "action": query.one_of("action", HeaderRule.Action.values),
        "scope": query.one_of("scope", HeaderRule.Scope.values),
        "provider": query.words("provider__slug"),
        "alias": query.words("alias__name"),
        "enabled": ON_OR_OFF,
    }

    def rows(self) -> Any:
        """With what they are for."""
        return HeaderRule.objects.select_related("provider", "alias")


class TransformationSerializer(ScopedSerializer):
    """One change to requests or answers."""

    value = fields.Json(
        required=False, allow_null=True, help_text=Transformation._meta.get_field("value").help_text
    )

    class Meta:
        model = Transformation
        fields = (
            "id", "name", "direction", "kind", "pattern", "flags", "replacement", "value",
            "scope", "provider", "alias", "position", "enabled",
        )  # fmt: skip
        read_only_fields = ("id",)


class Transformations(EditableRows):
    """Changes to what is said."""

    model = Transformation
    serializer_class = TransformationSerializer
    filters: ClassVar = {
        "direction": query.one_of("direction", Transformation.Direction.values),
        "kind": query.one_of("kind", Transformation.Kind.values),
        "scope": query.one_of("scope", Transformation.Scope.values),
        "provider": query.words("provider__slug"),
        "alias": query.words("alias__name"),
        "enabled": ON_OR_OFF,
    }

    def rows(self) -> Any:
        """With what they are for."""
        return Transformation.objects.select_related("provider", "alias")
