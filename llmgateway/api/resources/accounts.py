"""Teams, projects, members, budgets with what is spent, alerts, prices, mask patterns."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounting import budget_alerts, keys
from accounting.budget_states import state_of, states
from accounting.models import (
    Budget,
    BudgetAlert,
    GroupGrant,
    MaskPattern,
    Membership,
    Price,
    PriceTier,
    Project,
    Team,
    VirtualKey,
)
from llmgateway.api import fields, query
from llmgateway.api.access import permission, principal
from llmgateway.api.errors import invalid
from llmgateway.api.rows import EditableRows, Rows, RowSerializer

LIMITS = keys.LIMITS
CREATE_ONLY = "Cannot be changed: make a new one."


class OfTeam(fields.Named):
    """The field that names a team: only one that the person may know of."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("help_text", "The team's short name.")
        super().__init__(slug_field="slug", queryset=Team.objects.all(), **options)

    def get_queryset(self) -> Any:
        """The teams that are there for who asks."""
        rows: Any = super().get_queryset()
        request = self.context.get("request")
        if request is None or request.user.is_staff:
            return rows
        return rows.filter(slug__in=principal(request).joined)


def of_user(**options: Any) -> fields.Named:
    """The field that names a person."""
    return fields.Named(
        slug_field="username",
        queryset=User.objects.filter(is_active=True),
        help_text="The user name.",
        **options,
    )


class TeamRows(EditableRows):
    """Rows that are a team's: people of the team see them, as far as their role goes."""

    is_for_teams = True

    def leads_may(self) -> bool:
        """Leads change what is their team's; others of the team do not."""
        return True

    def may_manage(self, row: Any) -> bool:
        """Whether they lead the team."""
        return principal(self.request).may_lead(row.team.slug)

    def team_rows(self, rows: QuerySet[Any], team: str, own: Q) -> QuerySet[Any]:
        """What leads and auditors see of whole teams, and everybody of their own."""
        who = principal(self.request)
        return rows.filter(
            Q(**{f"{team}__in": sorted(who.whole_teams)})
            | (Q(**{f"{team}__in": sorted(who.joined)}) & own)
        )


class KeepsTeam(RowSerializer):
    """A row that stays with the team it was made for."""

    team = OfTeam()

    def validate_team(self, team: Team) -> Team:
        """The same as before."""
        if self.instance is not None and self.instance.team_id != team.pk:
            raise serializers.ValidationError(CREATE_ONLY)
        return team


class TeamSerializer(RowSerializer):
    """Who pays."""

    class Meta:
        model = Team
        fields = (
            "slug", "name", "enabled", "members_may_make_keys", "keys_per_member_max",
            *LIMITS, "created_at",
        )  # fmt: skip
        read_only_fields = ("created_at",)


class Teams(EditableRows):
    """Who pays. Staff change teams; their people see them."""

    model = Team
    serializer_class = TeamSerializer
    lookup_field = "slug"
    lookup_value_converter = "str"
    puts = True
    is_for_teams = True
    filters: ClassVar = {"enabled": query.truth("enabled")}

    def visible(self, rows: QuerySet[Team]) -> QuerySet[Team]:
        """Those that the person is in."""
        return rows.filter(slug__in=sorted(principal(self.request).joined))


class ProjectSerializer(KeepsTeam):
    """A team's subdivision for reports."""

    class Meta:
        model = Project
        fields = ("id", "team", "slug", "name", *LIMITS)
        read_only_fields = ("id",)


class Projects(EditableRows):
    """Subdivisions of teams. Staff change them; a team's people see them."""

    model = Project
    serializer_class = ProjectSerializer
    is_for_teams = True
    filters: ClassVar = {"team": query.words("team__slug"), "slug": query.words("slug")}

    def rows(self) -> Any:
        """With their teams."""
        return Project.objects.select_related("team")

    def visible(self, rows: QuerySet[Project]) -> QuerySet[Project]:
        """Those of the person's teams."""
        return rows.filter(team__slug__in=sorted(principal(self.request).joined))


class MemberSerializer(KeepsTeam):
    """Who is in a team, and as what."""

    user = of_user()

    class Meta:
        model = Membership
        fields = ("id", "team", "user", "role", "origin", "created_at")
        read_only_fields = ("id", "origin", "created_at")

    def validate_user(self, user: User) -> User:
        """The same as before."""
        if self.instance is not None and self.instance.user_id != user.pk:
            raise serializers.ValidationError(CREATE_ONLY)
        return user

    def row_values(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A role that is changed here is given by hand: the groups of the identity provider leave it."""
        is_given = self.instance is not None and ("role" in attrs or not self.partial)
        return {**attrs, "origin": Membership.Origin.HAND} if is_given else attrs


class Members(TeamRows):
    """Who is in which team. Leads change their team's but for themselves, auditors see it, members see themselves."""

    model = Membership
    serializer_class = MemberSerializer
    filters: ClassVar = {
        "team": query.words("team__slug"),
        "user": query.words("user__username"),
        "role": query.one_of("role", Membership.Role.values),
    }

    def rows(self) -> Any:
        """With teams and people."""
        return Membership.objects.select_related("team", "user")

    def visible(self, rows: QuerySet[Membership]) -> QuerySet[Membership]:
        """The whole team's for leads and auditors, else one's own."""
        return self.team_rows(rows, "team__slug", Q(user=self.request.user))

    def may_manage(self, row: Membership) -> bool:
        """Whether they lead the team. Nobody changes their own role."""
        return super().may_manage(row) and row.user_id != self.request.user.pk


class GroupGrantSerializer(KeepsTeam):
    """What people in a group of the identity provider are in a team."""

    class Meta:
        model = GroupGrant
        fields = ("id", "group", "team", "role")
        read_only_fields = ("id",)


class GroupGrants(EditableRows):
    """Which groups of the identity provider are whose teams; for staff."""

    model = GroupGrant
    serializer_class = GroupGrantSerializer
    filters: ClassVar = {"team": query.words("team__slug"), "group": query.words("group")}

    def rows(self) -> Any:
        """With their teams."""
        return GroupGrant.objects.select_related("team")


class BudgetSerializer(RowSerializer):
    """An amount for each window, and how much of it is spent in the one that is now."""

    team = OfTeam(allow_null=True, required=False)
    project = fields.Numbered(
        queryset=Project.objects.all(),
        allow_null=True,
        required=False,
        help_text="The project's number.",
    )
    key = fields.Numbered(
        queryset=VirtualKey.objects.all(),
        allow_null=True,
        required=False,
        help_text="The API key's number.",
    )
    alert_thresholds = serializers.ListField(
        child=fields.Whole(min_value=1, max_value=1000), required=False, max_length=100,
        help_text=Budget._meta.get_field("alert_thresholds").help_text,
    )  # fmt: skip
    alert_emails = fields.Words(
        required=False, help_text=Budget._meta.get_field("alert_emails").help_text
    )
    alert_webhook_url = fields.Text(
        write_only=True, required=False, allow_blank=True, max_length=500,
        help_text="Told by a POST of JSON. Never shown again but for its host. Left out: the present one stays; empty: none.",
    )  # fmt: skip
    alert_webhook = serializers.SerializerMethodField()
    standing = serializers.SerializerMethodField()

    class Meta:
        model = Budget
        fields = (
            "id", "team", "project", "key", "amount_usd", "window", "time_zone", "hard", "enabled",
            "alert_thresholds", "alert_emails", "alert_webhook_url", "alert_webhook", "standing", "created_at",
        )  # fmt: skip
        read_only_fields = ("id", "created_at")

    def get_alert_webhook(self, row: Budget) -> str:
        """What may be shown of the webhook."""
        return budget_alerts.masked(row.alert_webhook_url) if row.alert_webhook_url else ""

    @extend_schema_field({"type": "object", "additionalProperties": True})
    def get_standing(self, row: Budget) -> dict[str, Any]:
        """Its window, what is spent and left, and the state: off, within, near or spent. Amounts are strings."""
        known: Any = self.context.get("states", {}).get(row.pk)
        state = known or state_of(row, now=datetime.now(UTC))
        tree: dict[str, Any] = state.as_tree()
        return tree


class Budgets(EditableRows):
    """How much may be spent, and how much is. Staff change budgets; leads and auditors see their team's."""

    model = Budget
    serializer_class = BudgetSerializer
    is_for_teams = True
    volatile = frozenset({"standing"})
    filters: ClassVar = {
        "team": query.words("team__slug", "Budgets of the team itself."),
        "window": query.one_of("window", Budget.Window.values),
        "enabled": query.truth("enabled"),
        "hard": query.truth("hard"),
    }

    def rows(self) -> Any:
        """With what their names are made of."""
        return Budget.objects.select_related("team", "project__team", "key__team")

    def visible(self, rows: QuerySet[Budget]) -> QuerySet[Budget]:
        """Whole teams' for leads and auditors, and those of one's own keys."""
        return rows.filter(budgets_seen_by(self.request))

    def list_context(self, page: Any) -> dict[str, Any]:
        """How those of a page stand, summed up together."""
        found = states(page, now=datetime.now(UTC))
        return {"states": {state.budget.pk: state for state in found}}


def budgets_seen_by(request: Request, prefix: str = "") -> Q:
    """The budgets that somebody who is not staff may see."""
    who = principal(request)
    whole = sorted(who.whole_teams)
    own = Q(
        **{f"{prefix}key__owner": request.user, f"{prefix}key__team__slug__in": sorted(who.joined)}
    )
    for holder in ("team", "project__team", "key__team"):
        own |= Q(**{f"{prefix}{holder}__slug__in": whole})
    return own


class AlertSerializer(RowSerializer):
    """That people were told of a threshold."""

    budget = serializers.IntegerField(source="budget_id", read_only=True)
    told = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = BudgetAlert
        fields = (
            "id", "budget", "threshold", "window_began_at", "spent_usd", "amount_usd",
            "at", "sent_at", "attempts", "told", "error",
        )  # fmt: skip
        read_only_fields = fields


class Alerts(Rows):
    """Who was told that a budget passed a threshold."""

    model = BudgetAlert
    serializer_class = AlertSerializer
    is_for_teams = True
    filters: ClassVar = {
        "budget": query.number("budget_id"),
        "sent": query.present("sent_at"),
    }

    def rows(self) -> Any:
        """Newest first."""
        return BudgetAlert.objects.order_by("-at", "-pk")

    def visible(self, rows: QuerySet[BudgetAlert]) -> QuerySet[BudgetAlert]:
        """Those of the budgets that they may see."""
        return rows.filter(budgets_seen_by(self.request, "budget__"))

    def permissions_wanted(self) -> list[str]:
        """Who may change budgets may have an alert sent again."""
        if self.action == "send_again":
            return [permission(Budget, "change")]
        return super().permissions_wanted()

    @extend_schema(request=None, responses=AlertSerializer)
    @action(detail=True, methods=["post"], url_path="send-again")
    def send_again(self, request: Request, **_kwargs: Any) -> Response:
        """Have an alert sent that was given up, or waits."""
        del request
        row = self.get_object()
        budget_alerts.send_again(row)
        row.refresh_from_db()
        return self.answer(row, status.HTTP_200_OK)


RATES = (
    "prompt_usd_per_mtok", "completion_usd_per_mtok", "cache_read_usd_per_mtok",
    "cache_write_5m_usd_per_mtok", "cache_write_1h_usd_per_mtok", "reasoning_usd_per_mtok",
)  # fmt: skip


class PriceTierSerializer(RowSerializer):
    """What all tokens of a request cost, once its prompt is longer than so many."""

    not_cleaned = ("price",)

    class Meta:
        model = PriceTier
        fields = ("prompt_tokens_above", *RATES)


class PriceSerializer(RowSerializer):
    """USD per million tokens, from a moment on. Tiers that are given replace all that are there."""

    tiers = PriceTierSerializer(many=True, required=False, max_length=50)  # type: ignore[call-arg]

    class Meta:
        model = Price
        fields = ("id", "provider", "upstream_model", *RATES, "request_usd", "image_usd", "valid_from_at", "source", "tiers")  # fmt: skip
        read_only_fields = ("id",)
        extra_kwargs = {"source": {"required": False, "default": "manual"}}

    def row_values(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Without its tiers."""
        return {name: value for name, value in attrs.items() if name != "tiers"}

    def check(self, row: Price, attrs: dict[str, Any]) -> None:
        """Refuse a length twice."""
        del row
        lengths = [tier["prompt_tokens_above"] for tier in attrs.get("tiers", ())]
        if len(set(lengths)) < len(lengths):
            raise invalid({"tiers": ["A price has one tier for each length."]})

    def keep(self, row: Price, attrs: dict[str, Any]) -> Price:
        """Save it with its tiers."""
        row.save()
        wanted = attrs.get("tiers")
        if wanted is None and self.instance is not None and not self.partial:
            wanted = []
        if wanted is None:
            return row
        present = {tier.prompt_tokens_above: tier for tier in row.tiers.all()}
        for length in present.keys() - {values["prompt_tokens_above"] for values in wanted}:
            present[length].delete()
        for values in wanted:
            tier = present.get(values["prompt_tokens_above"]) or PriceTier(price=row)
            for name in ("prompt_tokens_above", *RATES):
                setattr(tier, name, values.get(name))
            tier.save()
        return row


class Prices(EditableRows):
    """The price book. A change is live within a second; what was booked before stays as it is."""

    model = Price
    serializer_class = PriceSerializer
    filters: ClassVar = {
        "provider": query.words("provider"),
        "upstream_model": query.words("upstream_model"),
        "source": query.words("source"),
        "valid_from": query.moment("valid_from_at__gte", "In force from this moment or later."),
        "valid_to": query.moment("valid_from_at__lt", "In force from before this moment."),
    }

    def rows(self) -> Any:
        """With their tiers."""
        return Price.objects.prefetch_related("tiers")


class MaskPatternSerializer(RowSerializer):
    """What else counts as a secret in request logs."""

    class Meta:
        model = MaskPattern
        fields = ("id", "name", "pattern", "replacement", "position", "enabled")
        read_only_fields = ("id",)


class MaskPatterns(EditableRows):
    """What request logs mask beside the secrets that code knows."""

    model = MaskPattern
    serializer_class = MaskPatternSerializer
    filters: ClassVar = {"name": query.words("name"), "enabled": query.truth("enabled")}
