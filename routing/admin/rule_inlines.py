"""Header rules and transformations on the page of the provider, or of the alias, that they are for."""

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import StackedInline, TabularInline

from routing.admin.reordering import OrderedInlineFormSet, OrderedListFormSet
from routing.models import HeaderRule, Transformation
from routing.models.scope import Scoped

TIES = ("scope", "pk")
"""Which comes first of rules with the same position; the scopes' names happen to be in the order that is meant."""


class RuleListFormSet(OrderedListFormSet):
    """The list of all rules."""

    ties = TIES


class RuleInlineFormSet(OrderedInlineFormSet):
    """Some of the rules; they are numbered together with all others."""

    ties = TIES

    def rows_in_order(self) -> list[Any]:
        """All of the sort, because a provider's rules stand between those for everything."""
        return list(self.model._default_manager.order_by("position", *self.ties))


class RuleForm(forms.ModelForm):  # type: ignore[type-arg]
    """A rule whose scope is that of the page."""

    scope = Scoped.Scope.PROVIDER

    def clean(self) -> dict[str, Any]:
        """Say for whom it is."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        self.instance.scope = self.scope
        return cleaned


class AliasRuleForm(RuleForm):
    """One for an alias's routes."""

    scope = Scoped.Scope.ROUTE


class _RuleInline:
    formset = RuleInlineFormSet
    form = RuleForm
    extra = 0
    tab = True
    show_change_link = True
    ordering = ("position", "pk")
    ordering_field = "position"
    hide_ordering_field = True
    per_page = 10

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Rows with what their names are made of."""
        rows: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]
        return rows.select_related("provider", "alias")


class HeaderRuleInline(_RuleInline, TabularInline):
    """What a provider is told beside the body. The handle for dragging stands in the first field."""

    model = HeaderRule
    fields = ("action", "name", "value", "enabled", "position")
    hide_title = True


class TransformationInline(_RuleInline, StackedInline):
    """Changes to what is said; the page of one shows what it would do."""

    model = Transformation
    collapsible = True
    per_page = 5
    fields = (
        "position",
        ("name", "enabled"),
        ("direction", "kind"),
        ("pattern", "flags"),
        ("replacement", "value"),
    )


class AliasHeaderRuleInline(HeaderRuleInline):
    """Those for an alias's routes."""

    form = AliasRuleForm


class AliasTransformationInline(TransformationInline):
    """Those for an alias's routes."""

    form = AliasRuleForm
