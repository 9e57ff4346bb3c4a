"""API keys: made and shown once, changed, rotated with an overlap, revoked for good."""

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounting import keys
from accounting.models import Project, VirtualKey
from llmgateway.api import fields, idempotency, query
from llmgateway.api.errors import Conflict, invalid
from llmgateway.api.resources.accounts import (
    LIMITS,
    KeepsTeam,
    TeamRows,
    of_user,
)


class KeySerializer(KeepsTeam):
    """A team's API key, as far as it may be shown."""

    project = fields.Text(
        source="default_project",
        required=False,
        allow_null=True,
        max_length=64,
        help_text="Short name of the team's project that its usage is booked under.",
    )
    owner = of_user(allow_null=True, required=False)
    allowed_aliases = fields.Words(
        required=False, help_text=VirtualKey._meta.get_field("allowed_aliases").help_text
    )
    state = serializers.SerializerMethodField()
    shown = serializers.CharField(read_only=True, help_text="Its first and last characters.")
    rotated_from = serializers.IntegerField(
        source="rotated_from_id", read_only=True, allow_null=True
    )
    not_cleaned = ("digest", "prefix", "last_four")

    class Meta:
        model = VirtualKey
        fields = (
            "id", "team", "name", "shown", "state", "enabled", "owner", "project", "allowed_aliases",
            *LIMITS, "expires_at", "revoked_at", "rotated_from", "created_at",
        )  # fmt: skip
        read_only_fields = ("id", "revoked_at", "created_at")

    @extend_schema_field(
        serializers.ChoiceField(choices=["on", "off", "expired", "revoked", "rotated"])
    )
    def get_state(self, row: VirtualKey) -> str:
        """Whether it is taken: on and rotated are."""
        return keys.state_of(row, now=datetime.now(UTC))

    def to_representation(self, instance: VirtualKey) -> dict[str, Any]:
        """The project by its short name."""
        tree = super().to_representation(instance)
        project = instance.default_project
        return {**tree, "project": project.slug if project else None}

    def row_values(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """With the project itself."""
        if "default_project" not in attrs:
            return attrs
        slug = attrs["default_project"]
        if not slug or isinstance(slug, Project):
            return {**attrs, "default_project": slug or None}
        known: Any = self.instance
        team = attrs.get("team") or known.team
        project = Project.objects.filter(team=team, slug=slug).first()
        if project is None:
            raise invalid({"project": [f"Team {team.slug} has no project {slug!r}."]})
        return {**attrs, "default_project": project}

    def check(self, row: VirtualKey, attrs: dict[str, Any]) -> None:
        """As the admin's form: an owner of the team; nothing of a revoked key, no limits of a rotated one."""
        if self.instance is not None:
            self._check_life(row, attrs)
        if {"team", "owner"} & set(attrs):
            problem = keys.problem_with_owner(row.team, row.owner)
            if problem:
                raise invalid({"owner": [problem]})

    def _check_life(self, row: VirtualKey, attrs: dict[str, Any]) -> None:
        if row.revoked_at is not None:
            raise Conflict(f"The API key {row} was revoked: nothing of it can be changed.")
        given = [name for name in LIMITS if attrs.get(name) is not None]
        if given and row.rotated_to.exists():
            raise invalid(
                {name: ["The limits are those of the key that replaced it."] for name in given}
            )


class MintedKeySerializer(KeySerializer):
    """A key with its secret: in this one answer, and never again."""

    secret = serializers.CharField(
        read_only=True,
        allow_null=True,
        help_text="Shown once. Null where the request was sent again with its Idempotency-Key.",
    )
    secret_was_shown = serializers.BooleanField(
        read_only=True, required=False, help_text="True where the secret was in an earlier answer."
    )

    class Meta(KeySerializer.Meta):
        fields = (*KeySerializer.Meta.fields, "secret", "secret_was_shown")


class RotationSerializer(serializers.Serializer):
    """How a key is rotated."""

    overlap_s = fields.Whole(
        required=False,
        default=86_400,
        min_value=0,
        max_value=int(keys.OVERLAP_MAX.total_seconds()),
        help_text="Seconds for which the old key is still accepted.",
    )
    expires_at = serializers.DateTimeField(
        required=False,
        allow_null=True,
        default=None,
        help_text="When the new key expires (UTC). Left out: it lives as long as the old one was made to live.",
    )


class Keys(TeamRows):
    """API keys. Leads make, change, rotate and revoke their team's; auditors see them, members see their own."""

    model = VirtualKey
    serializer_class = KeySerializer
    volatile = frozenset({"state"})
    filters: ClassVar = {
        "team": query.words("team__slug"),
        "name": query.words("name"),
        "owner": query.words("owner__username"),
        "enabled": query.truth("enabled"),
        "revoked": query.present("revoked_at"),
        "prefix": query.words("prefix", "As shown: its first characters."),
    }
    verb_of: ClassVar = {"rotate": "change", "revoke": "change"}

    def rows(self) -> Any:
        """With what they point to."""
        return VirtualKey.objects.select_related(
            "team", "owner", "default_project__team"
        ).prefetch_related("rotated_to")

    def visible(self, rows: QuerySet[VirtualKey]) -> QuerySet[VirtualKey]:
        """The whole team's for leads and auditors, else one's own."""
        return self.team_rows(rows, "team__slug", Q(owner=self.request.user))

    @extend_schema(responses={201: MintedKeySerializer})
    def create(self, request: Request) -> Response:
        """Make a key. Its secret is in this answer, and never again."""
        return idempotency.once(request, self._mint)

    def _mint(self) -> Response:
        with self.change("made a key"):
            serializer: Any = self.get_serializer(data=self.request.data)
            serializer.is_valid(raise_exception=True)
            self.require_manage(serializer.row)
            return self._minted(keys.mint_for(serializer.row))

    def _minted(self, minted: keys.MintedKey) -> Response:
        response = self.made(minted.row)
        response.data = {**response.data, "secret": minted.secret, "secret_was_shown": False}
        return response

    @extend_schema(request=RotationSerializer, responses={201: MintedKeySerializer})
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, **_kwargs: Any) -> Response:
        """Make a new key in the place of one, which is accepted for the overlap longer."""
        return idempotency.once(request, self._rotate)

    def _rotate(self) -> Response:
        with self.change("rotated a key"):
            row = self.get_object()
            self.require_manage(row)
            wish = RotationSerializer(data=self.request.data)
            wish.is_valid(raise_exception=True)
            problem = keys.problem_with_rotation(row)
            if problem:
                raise Conflict(problem)
            overlap = timedelta(seconds=wish.validated_data["overlap_s"])
            minted = keys.rotate(
                row, overlap, now=datetime.now(UTC), expires_at=wish.validated_data["expires_at"]
            )
            return self._minted(minted)

    @extend_schema(request=None, responses=KeySerializer)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, **_kwargs: Any) -> Response:
        """Refuse the key for good, everywhere within a second. Doing so again changes nothing."""
        del request
        row = self.get_object()
        self.require_manage(row)
        keys.revoke(row, now=datetime.now(UTC))
        return self.answer(self.reread(row))

    def remove(self, row: VirtualKey) -> None:
        """Delete it, where nothing counts on it; only staff may, others revoke."""
        if not self.request.user.is_staff:
            self.permission_denied(self.request, message="Revoke the key: only staff delete keys.")
        successor = row.rotated_to.first()
        if successor is not None:
            raise Conflict(
                f"It was rotated: what it spent counts against the budgets of {successor}."
            )
        row.delete()

    @property
    def root(self) -> str:
        """The address of the list, also from that of a rotation."""
        path = self.request.path
        return path if self.action == "create" else path.split("/keys/")[0] + "/keys/"
