"""The form of the page that explains: a client's request, and who asks."""

from collections.abc import Iterator
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from accounting.models import Team, VirtualKey
from accounting.snapshot import KeyPicture
from conversion.call import read_call
from conversion.dialects import Dialect
from conversion.errors import RequestInvalid
from llmgateway.explanation import NOBODY
from llmgateway.explanation_asks import (
    CLIENT_DIALECTS,
    HeaderUnreadable,
    KeyUnknown,
    Question,
    anybody_of,
    key_numbered,
    read_headers,
)

BODY_CHARS_MAX = 1_000_000
KEYS_MAX = 1000
ROWS = {"rows": 3, "spellcheck": "false", "autocomplete": "off"}
Choices = list[tuple[str, Any]]


class ExplainForm(forms.Form):
    """``caller`` holds ``team:SLUG``, ``key:NUMBER`` or nothing. ``question`` is there once the form is valid."""

    dialect = forms.ChoiceField(
        choices=list(CLIENT_DIALECTS.items()),
        widget=UnfoldAdminSelectWidget,
        help_text="How the client speaks.",
    )
    caller = forms.ChoiceField(
        label="Who asks",
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="A team, or one of its API keys. Routes and flags may depend on it; sending needs a key.",
    )
    headers = forms.CharField(
        required=False,
        widget=UnfoldAdminTextareaWidget(
            attrs={**ROWS, "placeholder": "x-claude-code-session-id: my-session"}
        ),
        help_text="The client's headers, one to a line; none is needed.",
    )
    body = forms.CharField(
        label="Body (JSON)",
        max_length=BODY_CHARS_MAX,
        widget=UnfoldAdminTextareaWidget(attrs={**ROWS, "rows": 12}),
        help_text="As the client sends it.",
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        caller = self.fields["caller"]
        assert isinstance(caller, forms.ChoiceField)  # noqa: S101  (it is declared so above)
        caller.choices = [("", "Nobody in particular"), *_callers()]

    def clean_headers(self) -> str:
        """Refuse a line that is no header."""
        text = str(self.cleaned_data["headers"])
        try:
            read_headers(text.splitlines())
        except HeaderUnreadable as error:
            raise forms.ValidationError(str(error)) from error
        return text

    def clean_caller(self) -> KeyPicture:
        """Who asks, from the picture in force."""
        kind, _colon, value = str(self.cleaned_data["caller"]).partition(":")
        if kind == "team":
            return anybody_of(value)
        try:
            return key_numbered(int(value)) if kind == "key" else NOBODY
        except KeyUnknown as error:
            raise forms.ValidationError(
                "The key is not in force yet, or not any more: try again in a second."
            ) from error

    def clean_body(self) -> str:
        """As it was entered: browsers write every line break as two characters."""
        return str(self.cleaned_data["body"]).replace("\r\n", "\n")

    def clean(self) -> dict[str, Any]:
        """Refuse a body that a client of the dialect could not send."""
        found = super().clean() or self.cleaned_data
        if "body" in found and "dialect" in found:
            try:
                read_call(Dialect(found["dialect"]), found["body"].encode("utf-8", "replace"))
            except RequestInvalid as error:
                self.add_error("body", error.message)
        return found

    @property
    def question(self) -> Question:
        """What was entered."""
        entered = self.cleaned_data
        return Question(
            entered["body"],
            Dialect(entered["dialect"]),
            tuple(entered["headers"].splitlines()),
            entered["caller"],
        )


def _callers() -> Iterator[tuple[str, Choices]]:
    """A group for each team: anybody of it, then its keys."""
    keys: dict[str, Choices] = {}
    rows = VirtualKey.objects.select_related("team").order_by("team__slug", "name")
    for row in rows[:KEYS_MAX]:
        keys.setdefault(row.team.slug, []).append((f"key:{row.pk}", f"{row} ({row.shown})"))
    for slug in Team.objects.order_by("slug").values_list("slug", flat=True):
        yield slug, [(f"team:{slug}", f"{slug}: no key in particular"), *keys.get(slug, [])]


def entered_as(question: Question) -> dict[str, str]:
    """A question as the form would hold it."""
    key = question.key
    caller = f"team:{key.team}" if key.team else ""
    if key.pk and VirtualKey.objects.filter(pk=key.pk).exists():
        caller = f"key:{key.pk}"
    return {
        "dialect": question.dialect.value,
        "caller": caller,
        "headers": "\n".join(question.headers),
        "body": question.body,
    }
