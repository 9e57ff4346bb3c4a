"""The page of API keys with what only this room can join: whether what a key may ask for is there."""

from collections.abc import Iterator, Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest

from accounting.admin.virtual_key import VirtualKeyAdmin
from accounting.models import VirtualKey
from conversion.names import matches
from llmgateway.runtime import refresh_pictures
from routing import planning, snapshot
from routing.errors import ModelUnknown
from routing.pictures import Snapshot

TOLD_MAX = 5

admin.site.unregister(VirtualKey)


@admin.register(VirtualKey)
class NamedKeyAdmin(VirtualKeyAdmin):
    """A key may be made before the alias that it is for, so a name that is not known is told and taken."""

    def save_model(
        self,
        request: HttpRequest,
        obj: VirtualKey,
        form: forms.Form,
        change: bool,  # noqa: FBT001
    ) -> None:
        """Save it, and say what of its names leads nowhere."""
        super().save_model(request, obj, form, change)
        if "allowed_aliases" not in form.changed_data:
            return
        for sentence in unknown_among(obj.allowed_aliases):
            messages.warning(request, f"May ask for: {sentence}")


def unknown_among(names: Sequence[Any]) -> list[str]:
    """A sentence for each of the first names that no model alias answers to; ``*`` stands for any text."""
    if not names:
        return []
    refresh_pictures()
    held = snapshot.in_force()
    return list(_sentences(names, held))[:TOLD_MAX] if held else []


def _sentences(names: Sequence[str], held: Snapshot) -> Iterator[str]:
    for name in names:
        if "*" in name:
            known = (*held.exact, *(alias.name for alias in held.patterns))
            if not any(matches(name, alias) or matches(alias, name) for alias in known):
                yield f"no model alias fits {name!r}. Correct it, or add an alias at Routing → Model aliases."
            continue
        try:
            planning.find_alias(held, name)
        except ModelUnknown as error:
            yield f"{error.message.removesuffix(' GET /v1/models lists all.')} Correct it, or add an alias of that name."
