"""What only grows: usage records, adjustments, request logs and the audit trail; to look at."""

from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounting.audit import access as audit_access
from accounting.audit import watch
from accounting.models import Adjustment, AuditEntry, RequestLog, UsageRecord
from accounting.models.request_log import BODIES
from llmgateway.api import fields, query
from llmgateway.api.access import principal
from llmgateway.api.rows import Rows, RowSerializer


class LedgerNewestFirst(query.NewestFirst):
    """Records by time: so the ledger's indexes, by team and by key, have them in order."""

    ordering = ("-started_at", "-id")


class LogsNewestFirst(query.NewestFirst):
    """Logs by time."""

    ordering = ("-at", "-id")


class TagsField(serializers.Field):
    """The tags, apart."""

    def to_representation(self, value: str) -> list[str]:
        """As a list."""
        return [tag for tag in value.split(",") if tag]


class RecordSerializer(RowSerializer):
    """What one attempt used and cost."""

    tags = extend_schema_field({"type": "array", "items": {"type": "string"}})(TagsField)(
        read_only=True
    )
    notes = fields.Json(read_only=True)

    class Meta:
        model = UsageRecord
        fields = tuple(field.name for field in UsageRecord._meta.fields)
        read_only_fields = fields


class Records(Rows):
    """The ledger: one record for each attempt, newest first. People see what their role in a team lets them see."""

    model = UsageRecord
    serializer_class = RecordSerializer
    pagination_class = LedgerNewestFirst
    lookup_value_converter = "str"
    is_for_teams = True
    filters: ClassVar = {
        "request_id": query.words("request_id"),
        "team": query.words("team"),
        "project": query.words("project"),
        "key": query.number("key_id", "The API key's number."),
        "key_name": query.words("key_name"),
        "member": query.words("member"),
        "agent": query.words("agent"),
        "session": query.words("session"),
        "alias": query.words("alias"),
        "provider": query.words("provider"),
        "upstream_model": query.words("upstream_model"),
        "status": query.one_of("status", UsageRecord.Status.values),
        "cost_source": query.one_of("cost_source", UsageRecord.CostSource.values),
        "from": query.moment("started_at__gte", "Begun at this moment or later."),
        "to": query.moment("started_at__lt", "Begun before this moment."),
    }

    def visible(self, rows: QuerySet[UsageRecord]) -> QuerySet[UsageRecord]:
        """As on the report pages."""
        return rows.filter(principal(self.request).filter())


class AdjustmentSerializer(RowSerializer):
    """What a record costs more or less than was booked."""

    class Meta:
        model = Adjustment
        fields = (
            "id", "record_id", "record_started_at", "team", "project", "key_id", "amount_usd",
            "price_id", "reason", "run", "by", "at",
        )  # fmt: skip
        read_only_fields = fields


class Adjustments(Rows):
    """Corrections of the ledger, newest first."""

    model = Adjustment
    serializer_class = AdjustmentSerializer
    pagination_class = query.NewestFirst
    is_for_teams = True
    filters: ClassVar = {
        "record": query.words("record_id"),
        "run": query.words("run"),
        "team": query.words("team"),
        "from": query.moment("record_started_at__gte", "Of records begun at this moment or later."),
        "to": query.moment("record_started_at__lt", "Of records begun before this moment."),
    }

    def visible(self, rows: QuerySet[Adjustment]) -> QuerySet[Adjustment]:
        """Those of records that they may see."""
        who = principal(self.request)
        own = UsageRecord.objects.filter(
            team__in=sorted(who.joined - who.whole_teams), member=who.username
        )
        whole = Q(team__in=sorted(who.whole_teams))
        return rows.filter(whole | Q(record_id__in=own.values("id")))


class LogSerializer(RowSerializer):
    """That an attempt was logged."""

    class Meta:
        model = RequestLog
        fields = ("id", "request_id", "at", "team", "key_name", "bytes_max", "is_cut", *(f"{name}_bytes" for name in BODIES))  # fmt: skip
        read_only_fields = fields


class WholeLogSerializer(LogSerializer):
    """What was kept of an attempt, masked."""

    headers = fields.JsonObject(read_only=True)
    bodies = serializers.SerializerMethodField()

    class Meta(LogSerializer.Meta):
        fields = (*LogSerializer.Meta.fields, "headers", "bodies")

    @extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}})
    def get_bodies(self, row: RequestLog) -> dict[str, str]:
        """The bodies that were kept, by name, as far as they were kept."""
        return {body.name: body.text.decode("utf-8", "replace") for body in row.bodies}


class Logs(Rows):
    """Headers and bodies of attempts, masked, for staff; each look at one is noted in the audit trail."""

    model = RequestLog
    serializer_class = LogSerializer
    pagination_class = LogsNewestFirst
    lookup_value_converter = "str"
    filters: ClassVar = {
        "request_id": query.words("request_id"),
        "team": query.words("team"),
        "key_name": query.words("key_name"),
        "from": query.moment("at__gte", "Begun at this moment or later."),
        "to": query.moment("at__lt", "Begun before this moment."),
    }

    def rows(self) -> Any:
        """Without what only one log tells."""
        rows = RequestLog.objects.all()
        return rows.defer("headers", *BODIES) if self.action == "list" else rows

    def get_serializer_class(self) -> Any:
        """Lists are short."""
        return LogSerializer if self.action == "list" else WholeLogSerializer

    def retrieve(self, request: Request, **_kwargs: Any) -> Response:
        """Get what was kept of one attempt."""
        del request
        row = self.get_object()
        watch.note_use(row, "Looked at what was kept, masked.", bodies=len(row.bodies))
        return self.answer(row)


class AuditSerializer(RowSerializer):
    """One change, or one use of a secret."""

    before = fields.JsonObject(read_only=True)
    after = fields.JsonObject(read_only=True)

    class Meta:
        model = AuditEntry
        fields = tuple(field.name for field in AuditEntry._meta.fields)
        read_only_fields = fields


class AuditNewestFirst(query.NewestFirst):
    """Entries by their numbers."""

    ordering = "-number"


class AuditEntries(Rows):
    """Who changed or used what, newest first: staff see all, leads and auditors their team's."""

    model = AuditEntry
    serializer_class = AuditSerializer
    pagination_class = AuditNewestFirst
    lookup_field = "number"
    is_for_teams = True
    filters: ClassVar = {
        "actor": query.words("actor"),
        "action": query.words("action"),
        "kind": query.words("kind", "Such as accounting.virtualkey."),
        "object": query.words("object_id"),
        "team": query.words("team"),
        "via": query.words("via"),
        "from": query.moment("at__gte", "At this moment or later."),
        "to": query.moment("at__lt", "Before this moment."),
    }

    def visible(self, rows: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        """As on the pages of the trail."""
        found = audit_access.visible_to(self.request.user)
        return rows.none() if found is None else found
