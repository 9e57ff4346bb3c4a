"""The form of the page that replays: where to, in whose name, and what."""

from collections.abc import Iterator
from typing import Any

from django import forms

from accounting.models import VirtualKey
from accounting.snapshot import KeyPicture
from conversion.call import read_call
from conversion.errors import RequestInvalid
from llmgateway.explain_form import BODY_CHARS_MAX, KEYS_MAX
from llmgateway.explanation_asks import KeyUnknown, key_numbered
from llmgateway.replay import (
    TARGETS_MAX,
    Material,
    Replay,
    TargetGone,
    to_alias,
    to_deployment,
)
from routing import snapshot
from routing.models import Deployment

CHOICES_MAX = 100


class ReplayForm(forms.Form):
    """``targets`` holds ``alias:NAME`` and ``deployment:NUMBER``; ``replays`` are there once the form is valid."""

    targets = forms.MultipleChoiceField(
        label="Where to", required=False, widget=forms.CheckboxSelectMultiple
    )
    other = forms.CharField(
        label="Another model name",
        required=False,
        max_length=256,
        help_text="As a client would ask for it.",
    )
    key = forms.ChoiceField(
        label="Who pays",
        help_text="The API key in whose name it is sent: its limits and budgets hold, and its team is booked.",
    )
    body = forms.CharField(
        label="Body (JSON)",
        max_length=BODY_CHARS_MAX,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 14, "spellcheck": "false", "autocomplete": "off"}),
        help_text="As the client sends it. The model in it is replaced where a model name is chosen above.",
    )

    def __init__(self, *args: Any, material: Material, **options: Any) -> None:
        super().__init__(*args, **options)
        self._material = material
        self.replays: list[Replay] = []
        targets, key = self.fields["targets"], self.fields["key"]
        assert isinstance(targets, forms.MultipleChoiceField)  # noqa: S101  (declared so above)
        assert isinstance(key, forms.ChoiceField)  # noqa: S101
        targets.choices = [
            ("Model aliases", list(_aliases())),
            ("Deployments, without fallback", list(_deployments())),
        ]
        key.choices = [("", "Choose a key"), *_keys()]

    def clean_key(self) -> KeyPicture:
        """Who pays, from the picture in force."""
        try:
            return key_numbered(int(self.cleaned_data["key"]))
        except KeyUnknown as error:
            raise forms.ValidationError(
                "The key is not in force yet, or not any more: try again in a second."
            ) from error

    def clean_body(self) -> str:
        """Refuse what a client of the dialect could not send. Browsers write every line break as two characters."""
        text = str(self.cleaned_data["body"]).replace("\r\n", "\n").removeprefix("\ufeff")
        try:
            read_call(self._material.dialect, text.encode("utf-8", "replace"))
        except RequestInvalid as error:
            raise forms.ValidationError(error.message) from error
        return text

    def clean(self) -> dict[str, Any]:
        """Make the replays, one to four."""
        found = super().clean() or self.cleaned_data
        chosen = list(found.get("targets", ()))
        if found.get("other"):
            chosen.append(f"alias:{found['other']}")
        chosen = list(dict.fromkeys(chosen))
        if not chosen:
            self.add_error("targets", "Choose where it is to be sent.")
        elif len(chosen) > TARGETS_MAX:
            self.add_error("targets", f"Choose at most {TARGETS_MAX}.")
        elif "body" in found:
            self._make(chosen, found["body"])
        return found

    def _make(self, chosen: list[str], body: str) -> None:
        material = Material(body, self._material.dialect, self._material.headers)
        for value in chosen:
            kind, _colon, name = value.partition(":")
            try:
                replay = to_alias(material, name) if kind == "alias" else _at(material, int(name))
            except TargetGone as error:
                self.add_error("targets", str(error))
            else:
                self.replays.append(replay)


def _at(material: Material, pk: int) -> Replay:
    return to_deployment(material, Deployment.objects.select_related("provider").get(pk=pk))


def _aliases() -> Iterator[tuple[str, str]]:
    held = snapshot.in_force()
    names = sorted(alias.name for alias in held.exact.values()) if held else []
    return ((f"alias:{name}", name) for name in names[:CHOICES_MAX])


def _deployments() -> Iterator[tuple[str, str]]:
    """Those that can be called as they are: a model with a place to fill is none."""
    rows = Deployment.objects.filter(enabled=True, provider__enabled=True).select_related(
        "provider"
    )
    rows = rows.exclude(upstream_model__contains="{").order_by("provider__slug", "upstream_model")
    return (
        (f"deployment:{row.pk}", f"{row.provider.slug}: {row.upstream_model}")
        for row in rows[:CHOICES_MAX]
    )


def _keys() -> Iterator[tuple[str, str]]:
    rows = VirtualKey.objects.select_related("team").filter(enabled=True, revoked_at=None)
    for row in rows.order_by("team__slug", "name")[:KEYS_MAX]:
        yield str(row.pk), f"{row} ({row.shown})"
