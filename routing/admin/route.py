"""Model aliases with their routes and targets on one page."""

from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from unfold.admin import StackedInline
from unfold.decorators import action, display

from routing.admin.page import RoutingAdmin, switch_off, switch_on
from routing.models import ModelAlias, Route, RouteTarget


class TargetInline(StackedInline):
    """A route's targets, in the order in which they are tried."""

    model = RouteTarget
    fields = (
        "deployment",
        ("position", "weight"),
        ("prompt_tokens_over", "prompt_tokens_at_most"),
        ("only_with_tools", "only_with_images"),
        "only_with_reasoning",
        "parameters",
    )
    collapsible = True
    autocomplete_fields = ("deployment",)
    extra = 1
    verbose_name_plural = "targets: tried by rising position"


class RouteForm(forms.ModelForm):  # type: ignore[type-arg]
    """A new route is saved also when all its fields keep their defaults: its targets need it."""

    def has_changed(self) -> bool:
        """Whether there is something to save."""
        return self.instance._state.adding or super().has_changed()


class RouteInline(StackedInline):
    """An alias's routes: the first whose conditions hold is taken. One without conditions is enough."""

    model = Route
    form = RouteForm
    fields = (
        ("strategy", "position"),
        ("enabled", "is_sticky"),
        ("teams", "projects"),
        ("keys", "request_classes"),
        ("agent_types", "tiers"),
        "header",
    )
    inlines = (TargetInline,)
    extra = 0
    min_num = 1


@admin.register(ModelAlias)
class ModelAliasAdmin(RoutingAdmin):
    """The names that clients ask for."""

    empty_help = (
        "A model alias is the name that clients put into the model field. Give it a route with at least one target; "
        "the next targets are what it falls back to."
    )
    list_display = ("name", "match", "state", "targets", "visible", "description")
    list_filter = ("enabled", "match", "visible")
    search_fields = ("name", "description")
    inlines = (RouteInline,)
    actions = (switch_on, switch_off)
    actions_detail = ("explain_route",)
    fieldsets = ((None, {"fields": ("name", "match", ("enabled", "visible"), "description")}),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelAlias]:
        """Rows with the targets that the list shows."""
        targets = RouteTarget.objects.select_related("deployment__provider").order_by(
            "position", "pk"
        )
        routes = Route.objects.order_by("position", "pk").prefetch_related(
            Prefetch("targets", targets)
        )
        return super().get_queryset(request).prefetch_related(Prefetch("routes", routes))  # type: ignore[no-any-return]

    @action(description="Explain route", permissions=["view"], icon="account_tree")
    def explain_route(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To the page that shows what a request for this name would do; a pattern gets a name that fits it."""
        del request
        row = get_object_or_404(ModelAlias, pk=object_id)
        is_wildcard = row.match == ModelAlias.Match.WILDCARD
        model = row.name.replace("*", "example") if is_wildcard else row.name
        return redirect(f"{reverse('explain')}?{urlencode({'model': model})}")

    @display(description="State", label={"on": "success", "off": "danger", "no target": "warning"})
    def state(self, row: ModelAlias) -> str:
        """Whether it can be asked for."""
        if not row.enabled:
            return "off"
        return (
            "on"
            if any(route.enabled and route.targets.all() for route in row.routes.all())
            else "no target"
        )

    @display(description="Targets, in order")
    def targets(self, row: ModelAlias) -> str:
        """Where the first enabled route leads."""
        route = next((route for route in row.routes.all() if route.enabled), None)
        return (
            " → ".join(str(target.deployment) for target in route.targets.all())
            if route
            else "none"
        )
