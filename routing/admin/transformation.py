"""Transformations, and what they would do: a live preview of one that is not saved yet, and of all that are on."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import JSONField
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.utils.text import capfirst
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import action, display
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from conversion.dialects import Dialect
from conversion.editing.edits import Edit
from routing import preview, transformations
from routing.admin.catalogue import IndentedJson
from routing.admin.page import switch_off, switch_on
from routing.admin.reordering import OrderedAdmin
from routing.admin.rule_inlines import RuleListFormSet
from routing.models import ModelAlias, Provider, Transformation

RULE_FIELDS = ("direction", "kind", "pattern", "flags", "replacement", "value")
CODE = {"spellcheck": "false", "autocapitalize": "off", "autocomplete": "off"}
DIALECTS = (
    (Dialect.ANTHROPIC_MESSAGES.value, "Anthropic Messages"),
    (Dialect.OPENAI_CHAT.value, "OpenAI chat"),
    (Dialect.OPENAI_COMPLETIONS.value, "OpenAI completions"),
    (Dialect.OPENAI_EMBEDDINGS.value, "OpenAI embeddings"),
    ("text", "plain text"),
)


class TransformationForm(forms.ModelForm):  # type: ignore[type-arg]
    """What the chosen scope and kind do not ask for is hidden on the page, and so is not saved."""

    class Meta:
        model = Transformation
        fields = ("name", "enabled", "direction", "scope", "provider", "alias", "position", "kind", "pattern", "flags", "replacement", "value")  # fmt: skip
        widgets = {
            "pattern": UnfoldAdminTextInputWidget(attrs=CODE),
            "flags": UnfoldAdminTextInputWidget(attrs=CODE),
            "replacement": UnfoldAdminTextInputWidget(attrs=CODE),
        }

    def clean(self) -> dict[str, Any]:
        """Forget what is hidden."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        shown = {
            "provider": cleaned.get("scope") == Transformation.Scope.PROVIDER,
            "alias": cleaned.get("scope") == Transformation.Scope.ROUTE,
            "value": cleaned.get("kind") in ("json_add", "json_set"),
        }
        is_regex = cleaned.get("kind") == Transformation.Kind.REGEX
        hidden_texts = () if is_regex else ("flags", "replacement")
        cleaned.update({name: None for name, is_shown in shown.items() if not is_shown})
        cleaned.update(dict.fromkeys(hidden_texts, ""))
        return cleaned


class InputForm(forms.Form):
    """What is edited in a preview."""

    dialect = forms.ChoiceField(
        choices=DIALECTS, widget=UnfoldAdminSelectWidget, help_text="How the input is read."
    )
    body = forms.CharField(
        label="Input",
        required=False,
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 8, **CODE}),
        help_text="A request or a whole answer as JSON, or any text; at most 256 kB. Empty: an example. "
        "It is not stored.",
    )

    def clean_body(self) -> str:
        """Refuse what would take too long to look through."""
        body = str(self.cleaned_data["body"])
        if len(body.encode(errors="replace")) > preview.TEXT_BYTES_MAX:
            raise forms.ValidationError("That is more than 256 kB.")
        return body

    def chosen_dialect(self) -> Dialect | None:
        """The dialect of the input; None for a plain text."""
        word = self.cleaned_data["dialect"]
        return None if word == "text" else Dialect(word)


class AllForm(InputForm):
    """Which requests or answers the input is one of."""

    direction = forms.ChoiceField(choices=Transformation.Direction, widget=UnfoldAdminSelectWidget)
    provider = forms.ModelChoiceField(
        Provider.objects.all(),
        required=False,
        empty_label="any: only those for everything",
        widget=UnfoldAdminSelectWidget,
    )
    alias = forms.ModelChoiceField(
        ModelAlias.objects.all(),
        label="Model alias",
        required=False,
        empty_label="any: only those for everything",
        widget=UnfoldAdminSelectWidget,
    )
    field_order = ("direction", "provider", "alias", "dialect", "body")


@admin.register(Transformation)
class TransformationAdmin(OrderedAdmin):
    """Changes to what is said."""

    empty_help = (
        "A transformation changes requests on their way out or answers on their way back: a regular expression over "
        "message text (to mask keys, for instance), or a JSONPath that drops, adds or sets a member of the body. "
        "The form shows what it would do before it is saved."
    )
    form = TransformationForm
    list_formset = RuleListFormSet
    ordering = ("position", "scope", "pk")
    list_display = ("title", "state", "direction", "kind", "scope_text", "pattern_text")
    list_filter = (
        "enabled",
        "direction",
        "kind",
        "scope",
        ("provider", AutocompleteSelectFilter),
        ("alias", AutocompleteSelectFilter),
    )
    list_filter_submit = True
    list_select_related = ("provider", "alias")
    search_fields = ("name", "pattern", "provider__slug", "alias__name")
    autocomplete_fields = ("provider", "alias")
    actions = (switch_on, switch_off)
    actions_list = ("preview_all",)
    change_form_after_template = "admin/routing/transformation/_panel.html"
    formfield_overrides = {
        JSONField: {
            "widget": UnfoldAdminTextareaWidget(attrs={"rows": 3, **CODE}),
            "encoder": IndentedJson,
        },
    }
    conditional_fields = {
        "provider": "scope == 'provider'",
        "alias": "scope == 'route'",
        "flags": "kind == 'regex'",
        "replacement": "kind == 'regex'",
        "value": "kind == 'json_add' || kind == 'json_set'",
    }
    fieldsets = (
        (None, {"fields": ("name", "direction", "position", "enabled")}),
        ("For which requests", {"fields": ("scope", "provider", "alias")}),
        ("What it does", {"fields": ("kind", "pattern", "flags", "replacement", "value")}),
    )

    class Media:
        css = {"all": ("llmgateway/preview.css",)}
        js = ("llmgateway/preview.js",)

    @display(description="Name", ordering="name")
    def title(self, row: Transformation) -> str:
        """The name, or what stands for it."""
        return str(row)

    @display(description="State", label={"on": "success", "off": "danger"})
    def state(self, row: Transformation) -> str:
        """Whether it is applied."""
        return "on" if row.enabled else "off"

    @display(description="For")
    def scope_text(self, row: Transformation) -> str:
        """Whom it is for."""
        return row.scope_text

    @display(description="Pattern", ordering="pattern")
    def pattern_text(self, row: Transformation) -> str:
        """The beginning of the pattern."""
        return row.pattern if len(row.pattern) <= 60 else f"{row.pattern[:59]}…"

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The form, with a preview below it."""
        context = {"input_form": InputForm(prefix="preview"), **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, context)

    def get_urls(self) -> list[URLPattern]:
        """The pages of the previews beside the usual ones."""
        wrap = self.admin_site.admin_view
        own = [
            path("preview/", wrap(self.preview_one), name="routing_transformation_preview"),
            path(
                "preview/all/", wrap(self.preview_rows), name="routing_transformation_preview_rows"
            ),
        ]
        return [*own, *super().get_urls()]

    @action(description="Preview all", icon="find_replace")
    def preview_all(self, request: HttpRequest) -> HttpResponse:
        """To the page that shows all transformations together."""
        return redirect("admin:routing_transformation_preview_rows")

    def preview_one(self, request: HttpRequest) -> HttpResponse:
        """What the transformation in the form would do; nothing is saved."""
        if not (self.has_add_permission(request) or self.has_change_permission(request)):
            raise PermissionDenied
        if request.method != "POST":
            return redirect("admin:routing_transformation_preview_rows")
        rule = self.get_form(request)(request.POST)
        shown = InputForm(request.POST, prefix="preview")
        found = _found(shown, *_read_rule(rule))
        found["kept"] = [
            (name, value)
            for name, value in request.POST.items()
            if name in rule.fields and not name.startswith("preview-")
        ]
        return self._answer(request, "What it would do", {"input_form": shown, **found})

    def preview_rows(self, request: HttpRequest) -> HttpResponse:
        """What all transformations that are on do together, at a provider and for an alias."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        shown = AllForm(request.POST if request.method == "POST" else {"direction": "request", "dialect": DIALECTS[0][0]})  # fmt: skip
        found = _found(shown, *_read_rows(shown))
        return self._answer(
            request, "All transformations together", {"input_form": shown, "is_list": True, **found}
        )

    def _answer(self, request: HttpRequest, title: str, context: dict[str, Any]) -> HttpResponse:
        if request.headers.get("x-requested-with") == "fetch":
            return render(request, "admin/routing/transformation/_result.html", context)
        page = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "media": self.media,
            **context,
        }
        return render(request, "admin/routing/transformation/preview.html", page)


Faults = list[tuple[str, str, str]]
"""(name of the input, its label, what is wrong)."""


def _read_rule(rule: forms.ModelForm) -> tuple[list[Edit], str, Faults]:  # type: ignore[type-arg]
    """The edit of an unsaved row with its direction, and what is wrong with the fields that make it."""
    rule.full_clean()
    faults = [
        (name, str(rule[name].label), str(message))
        for name, messages in rule.errors.items()
        if name in RULE_FIELDS
        for message in messages
    ]
    row: Transformation = rule.instance
    if faults:
        return [], row.direction, faults
    problem = transformations.problem_with(**{name: getattr(row, name) for name in RULE_FIELDS})
    if problem:
        label = str(rule[problem.field].label)
        return [], row.direction, [(problem.field, label, problem.message)]
    return [transformations.picture_of(row).edit], row.direction, []


def _read_rows(shown: AllForm) -> tuple[list[Edit], str, Faults]:
    """The edits of all rows that are on, for what was chosen."""
    if not shown.is_valid():
        return [], "request", []
    chosen = shown.cleaned_data
    rows = Transformation.objects.filter(enabled=True)
    try:
        pictures = transformations.build_pictures(rows)
    except transformations.TransformationUnusable as error:
        return [], "request", [("", "Transformations", str(error))]
    requests, responses = transformations.for_target(
        pictures,
        chosen["provider"].pk if chosen["provider"] else 0,
        chosen["alias"].pk if chosen["alias"] else None,
    )
    edits = requests if chosen["direction"] == "request" else responses
    return list(edits), chosen["direction"], []


def _found(shown: InputForm, edits: list[Edit], direction: str, faults: Faults) -> dict[str, Any]:
    """What the page shows below the input."""
    faults = faults + [
        (shown.add_prefix(name), capfirst(str(shown[name].label)), str(message))
        for name, messages in shown.errors.items()
        for message in messages
    ]
    found: dict[str, Any] = {"faults": faults, "labels": [edit.label for edit in edits]}
    if not shown.is_valid():
        return found
    text, dialect = shown.cleaned_data["body"], shown.chosen_dialect()
    try:
        seen = preview.make_preview(edits, direction=direction, dialect=dialect, text=text)
    except preview.PreviewImpossible as error:
        faults.append((shown.add_prefix("body"), "Input", str(error)))
    if faults:
        return found
    note = preview.streaming_note(edits) if direction == "response" else ""
    return {**found, "preview": seen, "note": note, "is_example": not text.strip()}
