"""Model aliases with their routes, and routes with their targets.

An alias with few targets has all of it on one page. One with many lists its routes there, and each route has a page of
its own: a form with hundreds of fields would be slow, and nobody finds a target in it.
"""

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Count, Exists, F, ForeignKey, OuterRef, Prefetch, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.html import format_html
from unfold.admin import StackedInline, TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import action, display

from routing.admin.copying import copy_aliases, copy_routes, may_copy
from routing.admin.page import RoutingAdmin, switch_off, switch_on
from routing.admin.reordering import OrderedInlineFormSet
from routing.admin.rule_inlines import AliasHeaderRuleInline, AliasTransformationInline
from routing.models import Deployment, ModelAlias, Route, RouteTarget

ROUTES_ON_PAGE_MAX = 2
TARGETS_ON_PAGE_MAX = 6
"""Of all its routes together, for the alias's page to have them in forms."""
TARGETS_NAMED_MAX = 5
CONDITIONS = (
    ("teams", "projects"),
    ("keys", "request_classes"),
    ("agent_types", "tiers"),
    "header",
)


class TargetFormSet(OrderedInlineFormSet):
    """A route that is on has at least one target."""

    def clean(self) -> None:
        """Ask for one."""
        super().clean()
        if any(self.errors) or not self.instance.enabled or self._goes_with_its_route():
            return
        kept = [
            form
            for form in self.forms
            if not self._should_delete_form(form)
            and (form.instance.pk is not None or form.has_changed())
        ]
        if kept:
            return
        message = "Choose a deployment: a route needs a target to answer. Or switch the route off."
        if not self.forms or self._should_delete_form(self.forms[0]):
            raise ValidationError(message)
        self.forms[0].add_error("deployment", message)

    def _goes_with_its_route(self) -> bool:
        holder = str(self.prefix).removesuffix("-targets")
        return holder != self.prefix and bool(self.data.get(f"{holder}-DELETE"))


class TargetInline(StackedInline):
    """A route's targets, in the order in which they are tried."""

    model = RouteTarget
    formset = TargetFormSet
    fields = (
        "position",
        ("deployment", "weight"),
        ("prompt_tokens_over", "prompt_tokens_at_most"),
        ("only_with_tools", "only_with_images", "only_with_reasoning"),
        "parameters",
    )
    collapsible = True
    autocomplete_fields = ("deployment",)
    extra = 0
    ordering = ("position", "pk")
    ordering_field = "position"
    hide_ordering_field = True
    verbose_name_plural = "targets: tried from the first to the last; drag them into order"

    def get_extra(self, request: HttpRequest, obj: Any = None, **options: Any) -> int:
        """A form to begin with, where there is no target yet."""
        del request, options
        return 0 if obj is not None and obj.pk and obj.targets.exists() else 1

    def get_queryset(self, request: HttpRequest) -> QuerySet[RouteTarget]:
        """Rows with what their names are made of."""
        rows: QuerySet[RouteTarget] = super().get_queryset(request)
        return rows.select_related("deployment__provider", "route__alias")

    def formfield_for_foreignkey(
        self, db_field: "ForeignKey[Any, Any]", request: HttpRequest, **options: Any
    ) -> Any:
        """Deployments with what their names are made of."""
        if db_field.name == "deployment":
            options["queryset"] = Deployment.objects.select_related("provider")
        return super().formfield_for_foreignkey(db_field, request, **options)


class RouteForm(forms.ModelForm):  # type: ignore[type-arg]
    """A new route is saved also when all its fields keep their defaults: its targets need it."""

    def has_changed(self) -> bool:
        """Whether there is something to save."""
        return self.instance._state.adding or super().has_changed()


class RouteInline(StackedInline):
    """An alias's routes: the first whose conditions hold is taken. One without conditions is enough."""

    model = Route
    form = RouteForm
    formset = OrderedInlineFormSet
    fields = (
        "position",
        ("strategy", "is_sticky"),
        "enabled",
        *CONDITIONS,
    )
    inlines = (TargetInline,)
    extra = 0
    min_num = 1
    show_change_link = True
    ordering = ("position", "pk")
    ordering_field = "position"
    hide_ordering_field = True
    verbose_name_plural = "routes: the first whose conditions hold is taken; drag them into order"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        """Rows with their alias."""
        rows: QuerySet[Route] = super().get_queryset(request)
        return rows.select_related("alias")


class RouteListInline(TabularInline):
    """The routes of an alias that has many, each with the way to its own page."""

    model = Route
    formset = OrderedInlineFormSet
    fields = ("taken_for", "leads_to", "strategy", "enabled", "position")
    readonly_fields = ("taken_for", "leads_to", "strategy")
    extra = 0
    hide_title = True
    ordering = ("position", "pk")
    ordering_field = "position"
    hide_ordering_field = True
    per_page = 50
    verbose_name_plural = RouteInline.verbose_name_plural

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        """Rows with the targets that are named."""
        rows: QuerySet[Route] = super().get_queryset(request)
        return rows.select_related("alias").prefetch_related(Prefetch("targets", named_targets()))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A further one is added on a page of its own, with its targets."""
        del request, obj
        return False

    @display(description="For")
    def taken_for(self, row: Route) -> str:
        """The conditions, with the way to the route."""
        return format_html(
            '<a class="llmgw-link" href="{}">{}</a>',
            reverse("admin:routing_route_change", args=[row.pk]),
            row.conditions_text,
        )

    @display(description="Targets, in order")
    def leads_to(self, row: Route) -> str:
        """The first of them."""
        return names_of(row)


def named_targets() -> QuerySet[RouteTarget]:
    """Targets with what their names are made of, in order."""
    return RouteTarget.objects.select_related("deployment__provider").order_by("position", "pk")


def names_of(route: Route) -> str:
    """The first targets of a route, and how many more there are."""
    names = [str(target.deployment) for target in route.targets.all()]
    more = len(names) - TARGETS_NAMED_MAX
    shown = " → ".join(names[:TARGETS_NAMED_MAX]) or "none"
    return f"{shown} and {more} more" if more > 0 else shown


class ProviderOfAliasFilter(AutocompleteSelectFilter):
    """Whom its routes may lead to."""

    def __init__(self, *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self.title = "provider"


@admin.register(ModelAlias)
class ModelAliasAdmin(RoutingAdmin):
    """The names that clients ask for."""

    empty_help = (
        "A model alias is the name that clients put into the model field. Give it a route with at least one target; "
        "the next targets are what it falls back to."
    )
    list_display = ("name", "match", "state", "targets", "route_count", "visible", "description")
    list_filter = (
        "enabled",
        "match",
        "visible",
        ("routes__targets__deployment__provider", ProviderOfAliasFilter),
    )
    list_filter_submit = True
    search_fields = ("name", "description", "routes__targets__deployment__upstream_model")
    search_help_text = "Part of a name, of a description, or of an upstream model that it leads to."
    inlines = (RouteInline, AliasHeaderRuleInline, AliasTransformationInline)
    actions = (switch_on, switch_off, copy_aliases)
    actions_detail = ("explain_route", "add_route")
    fieldsets = ((None, {"fields": ("name", "match", ("enabled", "visible"), "description")}),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelAlias]:
        """Rows with what the list shows: of the routes only the first that is on."""
        own = Route.objects.filter(alias=OuterRef("alias"), enabled=True)
        first = Subquery(own.order_by("position", "pk").values("pk")[:1])
        routes = (
            Route.objects.annotate(first=first)
            .filter(pk=F("first"))
            .prefetch_related(Prefetch("targets", named_targets()))
        )
        answering = RouteTarget.objects.filter(route__alias=OuterRef("pk"), route__enabled=True)
        numbered = Route.objects.filter(alias=OuterRef("pk")).order_by().values("alias")
        return (  # type: ignore[no-any-return]
            super()
            .get_queryset(request)
            .annotate(
                answers=Exists(answering),
                routes_n=Subquery(numbered.annotate(n=Count("*")).values("n")),
            )
            .prefetch_related(Prefetch("routes", routes, to_attr="first_routes"))
        )

    def get_inlines(self, request: HttpRequest, obj: ModelAlias | None) -> Any:
        """Routes in forms, or listed where there would be too many; a form that is sent is read as it was shown."""
        if obj is None or _has_room_for(request, obj):
            return self.inlines
        return (RouteListInline, *self.inlines[1:])

    def has_copy_permission(self, request: HttpRequest) -> bool:
        """Who may add an alias with all that is its own."""
        return may_copy(self, request)

    @action(description="Explain route", permissions=["view"], icon="account_tree")
    def explain_route(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To the page that shows what a request for this name would do; a pattern gets a name that fits it."""
        del request
        row = get_object_or_404(ModelAlias, pk=object_id)
        is_wildcard = row.match == ModelAlias.Match.WILDCARD
        model = row.name.replace("*", "example") if is_wildcard else row.name
        return redirect(f"{reverse('explain')}?{urlencode({'model': model})}")

    @action(description="Add route", url_path="add-route", permissions=["change"], icon="add_road")
    def add_route(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To the form of a new one."""
        del request
        row = get_object_or_404(ModelAlias, pk=object_id)
        return redirect(f"{reverse('admin:routing_route_add')}?{urlencode({'alias': row.pk})}")

    @display(description="State", label={"on": "success", "off": "danger", "no target": "warning"})
    def state(self, row: Any) -> str:
        """Whether it can be asked for."""
        if not row.enabled:
            return "off"
        return "on" if row.answers else "no target"

    @display(description="Targets, in order")
    def targets(self, row: Any) -> str:
        """Where the first enabled route leads."""
        return names_of(row.first_routes[0]) if row.first_routes else "none"

    @display(description="Routes", ordering="routes_n")
    def route_count(self, row: Any) -> int:
        """How many it has."""
        return row.routes_n or 0


def _has_room_for(request: HttpRequest, alias: ModelAlias) -> bool:
    if request.method == "POST":
        return any(name.endswith("-targets-TOTAL_FORMS") for name in request.POST)
    targets = RouteTarget.objects.filter(route__alias=alias)
    return alias.routes.count() <= ROUTES_ON_PAGE_MAX and targets.count() <= TARGETS_ON_PAGE_MAX


@admin.register(Route)
class RouteAdmin(RoutingAdmin):
    """The routes of all aliases, each with its targets."""

    empty_help = (
        "A route is where requests for a model alias go: an ordered list of targets, for all requests or for those of "
        "some teams, keys or agents. Most are made on their alias's page."
    )
    list_display = ("alias", "position", "conditions", "state", "targets", "strategy")
    list_filter = (
        "enabled",
        "strategy",
        ("alias", AutocompleteSelectFilter),
        ("targets__deployment__provider", ProviderOfAliasFilter),
    )
    list_filter_submit = True
    list_select_related = ("alias",)
    search_fields = ("alias__name", "teams", "projects", "keys", "agent_types", "tiers", "header")
    search_help_text = "Part of an alias's name, or of what a condition says."
    autocomplete_fields = ("alias",)
    actions = (switch_on, switch_off, copy_routes)
    inlines = (TargetInline,)
    fieldsets = (
        (None, {"fields": ("alias", ("strategy", "is_sticky"), ("enabled", "position"))}),
        ("Only for requests of", {"fields": CONDITIONS}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        """Rows with the targets that the list shows."""
        rows: QuerySet[Route] = super().get_queryset(request)
        return rows.prefetch_related(Prefetch("targets", named_targets()))

    def has_copy_permission(self, request: HttpRequest) -> bool:
        """Who may add a route with targets."""
        return may_copy(self, request)

    @display(description="For")
    def conditions(self, row: Route) -> str:
        """Which requests, in words."""
        return row.conditions_text

    @display(description="State", label={"on": "success", "off": "danger", "no target": "warning"})
    def state(self, row: Route) -> str:
        """Whether it is taken."""
        if not row.enabled:
            return "off"
        return "on" if row.targets.all() else "no target"

    @display(description="Targets, in order")
    def targets(self, row: Route) -> str:
        """Where it leads."""
        return names_of(row)
