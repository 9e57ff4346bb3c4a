"""Users and groups, in the dress of the other pages; and providers with what only this room can join."""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounting import snapshot
from accounting.admin.membership import MembershipInline, warn_of_keys_left
from llmgateway.key_page import NamedKeyAdmin
from llmgateway.price_page import ImportedPriceAdmin
from llmgateway.sync_page import SynchronisedProviderAdmin

__all__ = [
    "GroupAdmin",
    "ImportedPriceAdmin",
    "NamedKeyAdmin",
    "SynchronisedProviderAdmin",
    "UserAdmin",
]

admin.site.unregister(User)
admin.site.unregister(Group)
# People see to their own second factors; nobody else may look at them, or take one away without the command for it.
# Who is whom at the identity provider is not for editing either, and the environment says which providers there are.
admin.site.unregister([Authenticator, EmailAddress, SocialAccount, SocialApp, SocialToken])


MAKES_MIGHTIER = ("is_staff", "is_superuser", "groups", "user_permissions")
"""What gives somebody rights. Only superusers hand any out: who may edit people could take all of them otherwise."""


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg]
    """Who may log in, and to which teams they belong."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_per_page = 50
    change_form_before_template = "admin/_audit_history.html"
    inlines = (MembershipInline,)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Rights are handed out by superusers."""
        names = super().get_readonly_fields(request, obj)
        return names if _is_superuser(request) else (*names, *MAKES_MIGHTIER)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Staff are for superusers to change: whose password one sets, their rights one has."""
        may = super().has_change_permission(request, obj)
        return may and (_is_superuser(request) or obj is None or not obj.is_staff)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """As for changes."""
        may = super().has_delete_permission(request, obj)
        return may and (_is_superuser(request) or obj is None or not obj.is_staff)

    def get_inlines(self, request: HttpRequest, obj: User | None = None) -> Any:
        """A new user gets a name and a password first."""
        return super().get_inlines(request, obj) if obj else ()

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:  # noqa: FBT001
        """Say which keys still let in a person who has left a team, or may no longer log in."""
        super().save_related(request, form, formsets, change)
        if change:
            warn_of_keys_left(request, Q(owner=form.instance))

    def save_model(self, request: HttpRequest, obj: User, form: forms.Form, change: bool) -> None:  # noqa: FBT001
        """Have a new name booked: pictures of keys hold their owners' names."""
        super().save_model(request, obj, form, change)
        if change and "username" in form.changed_data:
            snapshot.bump()

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        """Have their keys booked as nobody's from now on."""
        super().delete_model(request, obj)
        snapshot.bump()

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Have their keys booked as nobody's from now on."""
        super().delete_queryset(request, queryset)
        snapshot.bump()


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """Permissions shared by users."""

    change_form_before_template = "admin/_audit_history.html"

    def get_readonly_fields(self, request: HttpRequest, obj: Group | None = None) -> Any:
        """Rights are handed out by superusers."""
        names = super().get_readonly_fields(request, obj)
        return names if _is_superuser(request) else (*names, "permissions")


def _is_superuser(request: HttpRequest) -> bool:
    user: Any = request.user
    return bool(user.is_superuser)
