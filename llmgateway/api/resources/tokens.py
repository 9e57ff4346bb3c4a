"""One's own tokens for this API."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from llmgateway.api import access, idempotency, tokens
from llmgateway.api.models import ApiToken
from llmgateway.api.rows import EditableRows, RowSerializer


class TokenSerializer(RowSerializer):
    """A token, as far as it may be shown."""

    shown = serializers.CharField(read_only=True, help_text="Its first and last characters.")
    not_cleaned = ("user", "digest", "prefix", "last_four")

    class Meta:
        model = ApiToken
        fields = ("id", "name", "scope", "shown", "expires_at", "revoked_at", "last_used_at", "created_at")  # fmt: skip
        read_only_fields = ("id", "revoked_at", "last_used_at", "created_at")

    def check(self, row: ApiToken, attrs: dict[str, Any]) -> None:
        """It is the person's who asks."""
        del attrs
        row.user = self.context["request"].user


class MintedTokenSerializer(TokenSerializer):
    """A token with its secret: in this one answer, and never again."""

    secret = serializers.CharField(read_only=True, allow_null=True)
    secret_was_shown = serializers.BooleanField(read_only=True, required=False)

    class Meta(TokenSerializer.Meta):
        fields = (*TokenSerializer.Meta.fields, "secret", "secret_was_shown")


class Tokens(EditableRows):
    """One's own tokens. To make, change or revoke one with a token asks for the scope admin."""

    model = ApiToken
    serializer_class = TokenSerializer
    is_for_teams = True
    volatile = frozenset({"last_used_at"})
    scopes: ClassVar = dict.fromkeys(
        ("create", "update", "partial_update", "destroy", "revoke"), access.ADMIN
    )

    def permissions_wanted(self) -> list[str]:
        """None: they are one's own."""
        return []

    def leads_may(self) -> bool:
        """Everybody may, with their own."""
        return True

    def may_manage(self, row: ApiToken) -> bool:
        """They are one's own."""
        return row.user_id == self.request.user.pk

    def get_queryset(self) -> QuerySet[ApiToken]:
        """One's own, staff's too."""
        if getattr(self, "swagger_fake_view", False):
            return ApiToken.objects.none()
        return ApiToken.objects.filter(user=self.request.user).select_related("user")

    @extend_schema(responses={201: MintedTokenSerializer})
    def create(self, request: Request) -> Response:
        """Make a token. Its secret is in this answer, and never again."""
        return idempotency.once(request, self._mint)

    def _mint(self) -> Response:
        with self.change("made a token"):
            serializer: Any = self.get_serializer(data=self.request.data)
            serializer.is_valid(raise_exception=True)
            minted = tokens.mint_for(serializer.row)
        response = self.answer(minted.row, status.HTTP_201_CREATED)
        response["Location"] = f"{self.root}{minted.row.pk}/"
        response.data = {**response.data, "secret": minted.secret, "secret_was_shown": False}
        return response

    @extend_schema(request=None, responses=TokenSerializer)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, **_kwargs: Any) -> Response:
        """Refuse the token for good. Doing so again changes nothing."""
        del request
        row = self.get_object()
        tokens.revoke(row, now=datetime.now(UTC))
        return self.answer(row)
