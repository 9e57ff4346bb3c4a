"""The forms of the steps that add a provider, and a key with its team."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import transaction
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from accounting import keys
from accounting.keys import MintedKey
from accounting.models import Team
from routing.models import Credential, Provider
from routing.models.provider import problem_with_secret
from routing.providers.kind import ProviderKind

LABEL = "main"
PLAIN = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}


class ProviderForm(forms.Form):
    """A provider of one kind, asked for no more than the kind needs."""

    slug = forms.SlugField(
        label="Short name",
        max_length=64,
        widget=UnfoldAdminTextInputWidget(attrs=PLAIN),
        help_text="What it is called in routes and reports.",
    )
    base_url = forms.CharField(
        label="Base URL",
        max_length=500,
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={**PLAIN, "inputmode": "url"}),
    )
    secret = forms.CharField(
        label="API key",
        required=False,
        widget=UnfoldAdminPasswordWidget(attrs={**PLAIN, "autocomplete": "new-password"}),
    )

    def __init__(self, kind: ProviderKind, data: Any = None) -> None:
        self.kind = kind
        address = kind.base_url or kind.example_url
        super().__init__(data, initial={"slug": free_slug(kind.name), "base_url": address})
        if kind.is_demo:
            del self.fields["base_url"], self.fields["secret"]
            return
        must_have_key = kind.needs_credential
        self.fields[
            "secret"
        ].help_text = f"Sealed when saved, never shown again. {'' if must_have_key else 'Empty where none is wanted.'}"
        self.fields["base_url"].help_text = (
            "Up to and including the version, as the server's documentation tells it."
            if kind.calls_out
            else "Only where the provider's own address is not the right one."
        )

    def clean_slug(self) -> str:
        """Refuse a name that is taken."""
        slug = str(self.cleaned_data["slug"])
        if Provider.objects.filter(slug=slug).exists():
            raise forms.ValidationError(
                "There is a provider of that name already: choose another one."
            )
        return slug

    def clean_base_url(self) -> str:
        """Without blanks around it; the kind's own address needs no saying."""
        address = str(self.cleaned_data["base_url"]).strip().rstrip("/")
        return "" if address == self.kind.base_url else address

    def clean_secret(self) -> str:
        """Refuse what cannot be sent in a header; ask for it where the kind needs one."""
        secret = str(self.cleaned_data["secret"]).strip()
        if not secret and self.kind.needs_credential:
            raise forms.ValidationError(f"{self.kind.label} is not called without an API key.")
        problem = problem_with_secret(secret, is_new=False)
        if problem:
            raise forms.ValidationError(problem)
        return secret

    def clean(self) -> dict[str, Any]:
        """Let the provider's own rules judge the address."""
        found = super().clean() or self.cleaned_data
        if not self.errors:
            try:
                self._row().full_clean()
            except ValidationError as error:
                for name, problems in error.message_dict.items():
                    self.add_error(name if name in self.fields else None, problems)
        return found

    def _row(self) -> Provider:
        given = self.cleaned_data
        return Provider(slug=given["slug"], kind=self.kind.name, base_url=given.get("base_url", ""))

    def save(self) -> Provider:
        """The provider, with its credential where one was entered."""
        row = self._row()
        row.save()
        secret = self.cleaned_data.get("secret")
        if secret:
            credential = Credential(provider=row, label=LABEL)
            credential.seal(secret)
            credential.save()
        return row


def free_slug(name: str) -> str:
    """A short name for a provider of a kind that no other has."""
    base = name.replace("_", "-")
    taken = set(Provider.objects.filter(slug__startswith=base).values_list("slug", flat=True))
    number = 1
    while (slug := base if number == 1 else f"{base}-{number}") in taken:
        number += 1
    return slug


class KeyForm(forms.Form):
    """A key of a team; a team of a new name is made with it."""

    team = forms.SlugField(
        max_length=64,
        widget=UnfoldAdminTextInputWidget(attrs={**PLAIN, "list": "first-steps-teams"}),
        help_text="Who pays: the short name of a team that is there, or a new one such as platform.",
    )
    name = forms.CharField(
        label="Name of the key",
        max_length=keys.NAME_CHARS_MAX,
        widget=UnfoldAdminTextInputWidget(attrs=PLAIN),
        help_text="What tells it from the team's other keys, such as laptop.",
    )

    @transaction.atomic
    def mint(self) -> MintedKey:
        """The key, with its team.

        Raises:
            django.core.exceptions.ValidationError: the team has a key of that name.
        """
        team = Team.objects.filter(slug=self.cleaned_data["team"]).first()
        if team is None:
            team = Team(slug=self.cleaned_data["team"])
            team.full_clean()
            team.save()
        return keys.mint(team, self.cleaned_data["name"])
