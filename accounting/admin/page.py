"""What all accounting pages share: which picture of the keys is live, and a helpful empty list."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin

from accounting import snapshot


class AccountingAdmin(ModelAdmin):
    """``empty_help`` says on an empty list what its rows are for and where to begin."""

    list_before_template = "admin/_live.html"
    empty_help = ""
    compressed_fields = True
    warn_unsaved_form = True
    show_full_result_count = False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list, with the number of the picture in force above it."""
        number = snapshot.current().number
        context = {
            "live_what": "keys and prices",
            "live_number": number if number >= 0 else None,
            "empty_help": "" if self.model.objects.exists() else self.empty_help,
        }
        return super().changelist_view(request, {**context, **(extra_context or {})})  # type: ignore[no-any-return]
