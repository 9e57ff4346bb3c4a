"""Why a form is refused: at the field that is to be changed, with what to do about it."""

from datetime import UTC, datetime

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS
from django.db import models

REMEDIES = {
    "project_slug_is_unique_per_team": (
        "slug",
        "Choose another short name, or change that project.",
    ),
    "membership_is_unique_per_team": ("user", "Change their role there instead."),
    "key_name_is_unique_per_team": ("name", "Choose another name, or rotate that key."),
    "api_token_name_is_unique_per_user": ("name", "Choose another name."),
    "price_is_unique_per_moment": (
        "valid_from_at",
        "Change that price, or choose another moment: a price is in force until the next one's.",
    ),
    "price_tier_is_unique_per_length": ("prompt_tokens_above", "Change that tier."),
    "budget_is_unique_per_team_and_window": ("window", "Change that budget, or choose another window."),
    "budget_is_unique_per_project_and_window": ("window", "Change that budget, or choose another window."),
    "budget_is_unique_per_key_and_window": ("window", "Change that budget, or choose another window."),
}  # fmt: skip
"""By the name of the constraint: the field that its sentence is about, and what to do."""
PASSED = "This moment has passed: it would be refused at once. Enter one to come, or nothing."


class PlacedForm(forms.ModelForm):  # type: ignore[type-arg]
    """A row whose constraints speak at the field that they are about; Django puts them above the form."""

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        remedies = remedies_of(self._meta.model)
        for sentence in list(self.non_field_errors()):
            field, remedy = remedies.get(str(sentence), ("", ""))
            if field in self.fields:
                self.errors[NON_FIELD_ERRORS].data[:] = [
                    error
                    for error in self.errors[NON_FIELD_ERRORS].as_data()
                    if error.messages != [sentence]
                ]
                self.add_error(field, f"{sentence} {remedy}")
        if not self.non_field_errors():
            self.errors.pop(NON_FIELD_ERRORS, None)


def remedies_of(model: type[models.Model]) -> dict[str, tuple[str, str]]:
    """The field and the remedy for what each constraint of the model says."""
    return {
        str(constraint.violation_error_message): REMEDIES[constraint.name]
        for constraint in model._meta.constraints
        if constraint.name in REMEDIES
    }


def refuse_past(form: forms.BaseForm, name: str) -> None:
    """Refuse a moment that was entered now, and has passed."""
    moment = form.cleaned_data.get(name)
    if moment is not None and name in form.changed_data and moment <= datetime.now(UTC):
        form.add_error(name, PASSED)
