"""The form of the playground: as which key, for which model, and what; by its fields, or as JSON written by hand."""

from itertools import zip_longest
from typing import Any, cast

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.http import QueryDict

from accounting.models import VirtualKey
from accounting.snapshot import KeyPicture
from conversion.dialects import Dialect
from llmgateway.catalogue import listed_for
from llmgateway.exchange import ClientRequest
from llmgateway.explain_form import BODY_CHARS_MAX, KEYS_MAX
from llmgateway.explanation_asks import KeyUnknown, key_numbered, request_of
from llmgateway.playground.callers import Caller, headers_for
from llmgateway.playground.drafts import (
    DIALECTS,
    THINKING_BUDGETS,
    Draft,
    Image,
    Role,
    Turn,
    write_body,
)
from routing import snapshot

IMAGE_BYTES_MAX = 1_000_000
TURNS_MAX = 50
TEXT_CHARS_MAX = 200_000
PICTURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
}
ROLES: tuple[Role, ...] = ("user", "assistant")
FIRST_WORDS = "Hello! Who are you?"
NOT_IN_FORCE = "The key is not in force yet, or not any more: try again in a second."


def _area(rows: int) -> forms.Textarea:
    return forms.Textarea(attrs={"rows": rows, "autocomplete": "off"})


class PlaygroundForm(forms.Form):
    """``is_raw``: what is sent is the JSON, not the fields. ``request`` and ``picture`` are there once it is valid."""

    key = forms.ModelChoiceField(
        VirtualKey.objects.none(),
        label="API key",
        help_text="Its limits and budgets hold, and its team pays. Its secret is not needed.",
    )
    dialect = forms.ChoiceField(choices=list(DIALECTS.items()), label="The client speaks")
    alias = forms.CharField(label="Model", required=False, max_length=256)
    other = forms.CharField(
        label="Another model name",
        required=False,
        max_length=256,
        help_text="One that is not listed, such as a name that a pattern matches. It goes before the list.",
    )
    stream = forms.BooleanField(label="Stream the answer", required=False, initial=True)
    system = forms.CharField(
        label="System", required=False, max_length=TEXT_CHARS_MAX, widget=_area(2)
    )
    max_tokens = forms.IntegerField(
        label="Max tokens", min_value=1, max_value=1_000_000, initial=2048, required=False
    )
    temperature = forms.DecimalField(
        label="Temperature",
        required=False,
        min_value=0,
        max_value=2,
        widget=forms.NumberInput(attrs={"step": "0.1"}),
        help_text="Empty: the model's own.",
    )
    effort = forms.ChoiceField(
        label="Thinking",
        required=False,
        choices=[("", "not asked for"), *((name, name) for name in THINKING_BUDGETS)],
    )
    tool = forms.BooleanField(label="Offer an example tool (get_weather)", required=False)
    image = forms.FileField(
        label="Image",
        required=False,
        widget=forms.ClearableFileInput(
            attrs={"accept": "image/png,image/jpeg,image/gif,image/webp"}
        ),
        help_text="PNG, JPEG, GIF or WebP, up to 1 MB; goes with the last message.",
    )
    raw = forms.CharField(
        label="Body (JSON)",
        required=False,
        strip=False,
        max_length=2 * BODY_CHARS_MAX,
        widget=forms.Textarea(attrs={"rows": 18, "spellcheck": "false", "autocomplete": "off"}),
        help_text="Sent as it stands here: model, stream and all.",
    )

    def __init__(self, *args: Any, caller: Caller, **options: Any) -> None:
        super().__init__(*args, **options)
        self._caller = caller
        field = cast("forms.ModelChoiceField[VirtualKey]", self.fields["key"])
        field.queryset = caller.keys()
        self.is_raw = "is_raw" in self.data
        self.turns = _turns_in(self.data) if isinstance(self.data, QueryDict) else []
        self.turns = self.turns or [Turn("user", FIRST_WORDS)]
        self.picture: KeyPicture | None = None
        self.body = ""

    @property
    def key_rows(self) -> "QuerySet[VirtualKey]":
        """The keys to choose from."""
        return self._caller.keys()[:KEYS_MAX]

    def clean_image(self) -> Image | None:
        """The picture, which is looked at: a file's name and type are what somebody says."""
        given = cast("UploadedFile[bytes] | None", self.cleaned_data["image"])
        if not given:
            return None
        if (given.size or 0) > IMAGE_BYTES_MAX:
            raise forms.ValidationError("The image is larger than 1 MB: choose a smaller one.")
        data = given.read()
        media_type = next((kind for mark, kind in PICTURES.items() if data.startswith(mark)), "")
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            media_type = "image/webp"
        if not media_type:
            raise forms.ValidationError("This is no PNG, JPEG, GIF or WebP image.")
        return Image(media_type, data)

    def clean(self) -> dict[str, Any]:
        """Write the body; refuse what cannot be written as one."""
        found = super().clean() or self.cleaned_data
        if "key" in found:
            self._look_up(found["key"].pk)
        if self.is_raw:
            self.body = str(found.get("raw", "")).replace("\r\n", "\n").removeprefix("\ufeff")
            if not self.body.strip():
                self.add_error("raw", "Write a body, or go back to the fields.")
        elif not self.errors:
            self._write(found)
        return found

    def _look_up(self, pk: int) -> None:
        try:
            self.picture = key_numbered(pk)
        except KeyUnknown:
            self.add_error("key", NOT_IN_FORCE)

    def _write(self, found: dict[str, Any]) -> None:
        model = found["other"] or found["alias"]
        max_tokens = found["max_tokens"]
        if not model:
            self.add_error("alias", "Choose a model, or name one.")
        if not max_tokens:
            self.add_error("max_tokens", "Enter how long the answer may get.")
        if self.errors:
            return
        dialect = Dialect(found["dialect"])
        budget = THINKING_BUDGETS.get(found["effort"], 0)
        if dialect is Dialect.ANTHROPIC_MESSAGES and max_tokens <= budget:
            self.add_error(
                "max_tokens",
                f"Thinking {found['effort']} takes up to {budget:,} tokens of these: enter more than that.",
            )
            return
        temperature = found["temperature"]
        draft = Draft(
            model=model,
            turns=self.turns,
            max_tokens=max_tokens,
            stream=found["stream"],
            system=found["system"],
            temperature=None if temperature is None else float(temperature),
            effort=found["effort"],
            has_tool=found["tool"],
            image=found["image"],
        )
        self.body = write_body(draft, dialect)

    def to_request(self) -> ClientRequest:
        """The client's request: without a secret, and with the headers by which it is booked."""
        dialect = Dialect(self.cleaned_data["dialect"])
        headers = {"content-type": "application/json"}
        if dialect is Dialect.ANTHROPIC_MESSAGES:
            headers["anthropic-version"] = "2023-06-01"
        headers |= headers_for(self._caller.principal.username)
        return request_of(
            self.body, dialect, [f"{name}: {value}" for name, value in headers.items()]
        )


def _turns_in(data: QueryDict) -> list[Turn]:
    """The messages in order, each with who says it; browsers write every line break as two characters."""
    pairs = zip_longest(data.getlist("text")[:TURNS_MAX], data.getlist("role")[:TURNS_MAX])
    return [
        Turn("assistant" if role == "assistant" else "user", text.replace("\r\n", "\n"))
        for text, role in pairs
        if text is not None
    ]


def models_for(pk: int) -> tuple[list[str], list[str]]:
    """The models that a key may ask for, and the patterns that other names may match; nothing where the key is not in force."""
    held = snapshot.in_force()
    try:
        key = key_numbered(pk)
    except KeyUnknown:
        return [], []
    if held is None:
        return [], []
    return (
        [alias.name for alias in listed_for(key, held)],
        [each.name for each in held.patterns if each.visible and key.may_ask_for(each.name)],
    )
