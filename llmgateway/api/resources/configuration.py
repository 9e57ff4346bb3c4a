"""The configuration as a whole: export, import, versions; what a request would do; models of providers."""

import dataclasses
from datetime import UTC, datetime
from typing import Any, ClassVar

import orjson
import yaml
from asgiref.sync import async_to_sync
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpResponse
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.parsers import BaseParser
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounting.audit import actors, watch
from accounting.models import (
    Budget,
    Membership,
    Price,
    PriceTier,
    Project,
    Team,
    UsageRecord,
    VirtualKey,
)
from accounting.snapshot import KeyPicture
from conversion.call import read_call
from conversion.dialects import Dialect
from conversion.errors import GatewayError, RequestInvalid
from llmgateway import model_sync, trial
from llmgateway.api import access, fields, query, tokens
from llmgateway.api.access import permission
from llmgateway.api.authentication import token_of
from llmgateway.api.errors import Conflict, UpstreamFailed, invalid
from llmgateway.api.rows import Described, Rows, RowSerializer
from llmgateway.configuration import ConfigurationFaulty, export, import_text
from llmgateway.explain_page import may_explain, may_send, runtime_for
from llmgateway.explanation import NOBODY, explain
from llmgateway.explanation_asks import (
    CLIENT_DIALECTS,
    HeaderUnreadable,
    KeyUnknown,
    Question,
    anybody_of,
    key_numbered,
    question_of_record,
)
from llmgateway.explanation_words import to_json
from llmgateway.sync_page import Wish, look
from routing import models as routing
from routing import snapshot, versions
from routing.models import ConfigurationVersion, Provider
from routing.synchronisation import What

YAML = "application/yaml"
OWN_VARIABLES = ("GATEWAY_", "DATABASE_", "REDIS_", "EMAIL_")
"""What the gateway itself runs by: a provider of somebody's own could be sent it as its secret."""
WRITTEN_BY_IMPORT = (
    routing.Provider, routing.Credential, routing.Deployment, routing.ModelAlias, routing.Route,
    routing.RouteTarget, routing.HeaderRule, routing.Transformation, routing.FeatureFlag, routing.ModelTier,
    routing.AgentType, Team, Project, Membership, Budget, Price, PriceTier, VirtualKey,
)  # fmt: skip


class VersionSerializer(RowSerializer):
    """One state of routing, in a line."""

    class Meta:
        model = ConfigurationVersion
        fields = ("number", "made_at", "author", "summary")
        read_only_fields = fields


class WholeVersionSerializer(VersionSerializer):
    """One state of routing, with what it changed."""

    class Meta(VersionSerializer.Meta):
        fields = (*VersionSerializer.Meta.fields, "diff", "text")
        read_only_fields = fields


class DifferenceSerializer(serializers.Serializer):
    """What a roll-back would change. ``seen_number`` goes into the roll-back."""

    seen_number = serializers.IntegerField()
    is_same = serializers.BooleanField()
    diff = serializers.ListField(child=serializers.CharField())
    unreadable_secrets = serializers.ListField(child=serializers.CharField())


class RollBackSerializer(serializers.Serializer):
    """What was looked at before."""

    seen_number = fields.Whole(
        min_value=0,
        help_text="From the difference: the roll-back is refused if anything changed since.",
    )


class RolledBackSerializer(serializers.Serializer):
    """The new version, null where there was nothing to change, and what happened to secrets."""

    version = serializers.IntegerField(allow_null=True)
    kept_secrets = serializers.ListField(child=serializers.CharField())
    lost_secrets = serializers.ListField(child=serializers.CharField())


class Versions(Rows):
    """The configuration of routing after each change, newest first."""

    model = ConfigurationVersion
    serializer_class = VersionSerializer
    lookup_field = "number"
    filters: ClassVar = {
        "author": query.words("author"),
        "from": query.moment("made_at__gte", "Made at this moment or later."),
        "to": query.moment("made_at__lt", "Made before this moment."),
    }
    scopes: ClassVar = {"roll_back": access.ADMIN}

    def rows(self) -> Any:
        """Without their state, which nobody is shown."""
        rows = ConfigurationVersion.objects.defer("state")
        return rows.defer("state", "text", "diff") if self.action == "list" else rows

    def get_serializer_class(self) -> Any:
        """Lists are short."""
        return VersionSerializer if self.action == "list" else WholeVersionSerializer

    def permissions_wanted(self) -> list[str]:
        """Rolling back has a permission of its own."""
        if self.action == "roll_back":
            return ["routing.roll_back_configurationversion"]
        return super().permissions_wanted()

    @extend_schema(responses=DifferenceSerializer)
    @action(detail=True)
    def difference(self, request: Request, **_kwargs: Any) -> Response:
        """What a roll-back to the version would change now."""
        del request
        seen_number, row = snapshot.version(), self._whole()
        present = versions.present()
        return Response(
            {
                "seen_number": seen_number,
                "is_same": versions.is_present(row, present),
                "diff": list(versions.difference_to(row, present)),
                "unreadable_secrets": versions.unreadable_secrets(row),
            }
        )

    @extend_schema(request=RollBackSerializer, responses=RolledBackSerializer)
    @action(detail=True, methods=["post"], url_path="roll-back")
    def roll_back(self, request: Request, **_kwargs: Any) -> Response:
        """Make routing what it was in the version."""
        wish = RollBackSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        seen_number = wish.validated_data["seen_number"]
        try:
            done = versions.roll_back(
                self._whole(), author=actors.current().name, seen_number=seen_number
            )
        except versions.RollBackRefused as error:
            raise Conflict(str(error)) from error
        return Response(
            {
                "version": done.version.number if done.version else None,
                "kept_secrets": list(map(str, done.restored.kept_secrets)),
                "lost_secrets": list(map(str, done.restored.lost_secrets)),
            }
        )

    def _whole(self) -> ConfigurationVersion:
        return ConfigurationVersion.objects.get(pk=self.get_object().pk)


class TextParser(BaseParser):
    """A file as its text; the import reads it, and tells faults with their lines."""

    media_type = YAML

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        """The text."""
        del media_type, parser_context
        try:
            text: str = stream.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise invalid({"file": ["It is not UTF-8."]}) from error
        return text


class JsonTextParser(TextParser):
    """JSON, which is YAML too."""

    media_type = "application/json"


class ImportedSerializer(serializers.Serializer):
    """What an import has changed, or would change."""

    dry_run = serializers.BooleanField()
    changes = serializers.ListField(child=serializers.CharField())
    warnings = serializers.ListField(child=serializers.CharField())


class Configuration(Described, APIView):
    """All of routing, teams, budgets and prices as one file, as export_config writes and import_config takes it."""

    parser_classes: ClassVar = [TextParser, JsonTextParser]

    @property
    def query_fields(self) -> Any:  # type: ignore[override]
        """What may stand behind the ?, by method."""
        choice = serializers.ChoiceField
        exported = {
            "as": choice(choices=["yaml", "json"], required=False, help_text="Default: json.")
        }
        imported = {
            "dry_run": choice(
                choices=["true", "false"], required=False, help_text="Only say what would change."
            )
        }
        return {"GET": exported, "HEAD": exported, "POST": imported}

    def fields_in_address(self) -> Any:
        """By method."""
        return self.query_fields.get(str(self.request.method), {})

    def scope_wanted(self) -> str:
        """A file may hold secrets, and changes anything."""
        return access.READ if self.request.method in SAFE_METHODS else access.ADMIN

    def permissions_wanted(self) -> list[str]:
        """To read all of it, or to write all of it."""
        if self.request.method in SAFE_METHODS:
            return [permission(model, "view") for model in WRITTEN_BY_IMPORT]
        return [
            permission(model, verb)
            for model in WRITTEN_BY_IMPORT
            for verb in ("add", "change", "delete")
        ]

    @extend_schema(
        operation_id="configuration_export",
        responses={(200, "application/json"): dict, (200, YAML): dict},
    )
    def get(self, request: Request) -> Any:
        """Export: secrets are references to environment variables."""
        del request
        tree = export()
        if self.asked.get("as") == "yaml":
            text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
            return HttpResponse(text, content_type=YAML)
        return HttpResponse(orjson.dumps(tree, default=str), content_type="application/json")

    @extend_schema(
        operation_id="configuration_import",
        request={"application/json": dict, YAML: dict},
        responses=ImportedSerializer,
    )
    def post(self, request: Request) -> Response:
        """Import: all of the file, or nothing where there is a fault; faults are told with their lines."""
        dry_run = self.asked.get("dry_run") == "true"
        author = actors.current().name
        try:
            run = import_text(
                str(request.data), dry_run=dry_run, author=author, closed=OWN_VARIABLES
            )
        except ConfigurationFaulty as error:
            faults: dict[str, list[str]] = {}
            for fault in error.faults:
                faults.setdefault(f"line {fault.line}", []).append(fault.message)
            raise invalid(faults) from error
        return Response({"dry_run": dry_run, "changes": run.changes, "warnings": run.warnings})


class ExplainSerializer(serializers.Serializer):
    """A client's request, and who asks."""

    dialect = fields.Choice(
        choices=[dialect.value for dialect in CLIENT_DIALECTS],
        default=Dialect.ANTHROPIC_MESSAGES.value,
    )
    body = fields.JsonObject(required=False, help_text="What the client sends.")
    headers = serializers.DictField(
        child=fields.Text(max_length=1000), required=False, help_text="The client's headers."
    )
    team = fields.Text(required=False, max_length=64, help_text="Who asks: anybody of this team.")
    key = fields.Whole(required=False, min_value=1, help_text="Who asks: the API key's number.")
    record = fields.Text(
        required=False,
        max_length=40,
        help_text="A usage record, instead of a body: what its request would do now.",
    )
    send = fields.Truth(
        default=False,
        help_text="Send it for real, in the key's name: it costs. Asks for the scope admin.",
    )


class Explain(Described, APIView):
    """What would happen to a request."""

    def scope_wanted(self) -> str:
        """To send is told apart when the body is read."""
        return access.READ

    def permissions_wanted(self) -> list[str]:
        """As on the page."""
        return ["routing.view_modelalias"]

    @extend_schema(request=ExplainSerializer, responses=OpenApiResponse(dict))
    def post(self, request: Request) -> HttpResponse:
        """Explain a request without sending it: alias, route, targets, what would leave for each, and the cost. Or send it."""
        plain = request._request
        if not may_explain(plain):
            raise PermissionDenied
        wish = ExplainSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        asked = wish.validated_data
        runtime = runtime_for(plain)
        question = self._question(asked)
        try:
            ask = question.to_request()
            read_call(question.dialect, question.body.encode("utf-8", "replace"))
        except HeaderUnreadable as error:
            raise invalid({"headers": [str(error)]}) from error
        except RequestInvalid as error:
            raise invalid({"body": [error.message]}) from error
        sent = self._send(plain, question) if asked["send"] else None
        told = orjson.loads(to_json(explain(ask, question.key, runtime, remarks=question.remarks)))
        told["sent"] = dataclasses.asdict(sent) if sent else None
        return HttpResponse(orjson.dumps(told), content_type="application/json")

    def _question(self, asked: dict[str, Any]) -> Question:
        if ("record" in asked) == ("body" in asked):
            raise invalid({"body": ["Give a body, or a record."]})
        if "record" in asked:
            return self._of_record(asked["record"])
        lines = tuple(f"{name}: {value}" for name, value in asked.get("headers", {}).items())
        body = orjson.dumps(_plain(asked["body"])).decode()
        return Question(body, Dialect(asked["dialect"]), lines, _caller(asked))

    def _of_record(self, number: str) -> Question:
        user: Any = self.request.user
        record = UsageRecord.objects.filter(pk=number).first()
        if record is None or not user.has_perm("accounting.view_usagerecord"):
            raise invalid({"record": ["There is none that you may see."]})
        return question_of_record(record, may_see_body=user.has_perm("accounting.view_requestlog"))

    def _send(self, plain: Any, question: Question) -> trial.SentAnswer:
        row = VirtualKey.objects.filter(pk=question.key.pk).first()
        if not may_send(plain) or not tokens.allows(token_of(plain), access.ADMIN):
            raise PermissionDenied(
                "Sending asks for the scope admin, and the right to make API keys."
            )
        if row is None:
            raise invalid({"key": ["Name the API key in whose name it is sent."]})
        if not isinstance(plain, ASGIRequest):
            raise Conflict(
                "This process serves no requests: start the gateway with manage.py serve."
            )
        ask = question.to_request()
        watch.note_use(row, f"Sent request {ask.id} in its name, by the management API.")
        return async_to_sync(trial.send)(ask, question.key)


def _plain(body: dict[str, Any]) -> Any:
    """The body, if it can be written: whole numbers of more than 64 bits cannot."""
    try:
        orjson.dumps(body)
    except TypeError as error:
        raise invalid({"body": [str(error)]}) from error
    return body


def _caller(asked: dict[str, Any]) -> KeyPicture:
    if "key" in asked:
        try:
            return key_numbered(asked["key"])
        except KeyUnknown as error:
            raise invalid({"key": [str(error)]}) from error
    if "team" in asked:
        if not Team.objects.filter(slug=asked["team"]).exists():
            raise invalid({"team": ["There is no such team."]})
        return anybody_of(asked["team"])
    return NOBODY


class SyncSerializer(serializers.Serializer):
    """Which models to look at; ``apply`` names the updates to write, by the digests of a preview."""

    patterns = fields.Words(
        required=False, help_text="Only models whose names match; * stands for any text."
    )
    prices = fields.Truth(default=True, help_text="Prices, too.")
    apply = fields.Words(
        required=False, help_text="Digests of a preview. Left out: nothing is written."
    )


class SyncUpdateSerializer(serializers.Serializer):
    """What would be done about one model."""

    digest = serializers.CharField()
    model = serializers.CharField()
    what = serializers.CharField()


class SyncedSerializer(serializers.Serializer):
    """The preview, or how many rows were written."""

    updates = SyncUpdateSerializer(many=True)
    kept_prices = serializers.ListField(child=serializers.CharField())
    new = serializers.IntegerField()
    changed = serializers.IntegerField()
    prices = serializers.IntegerField()


class SyncModels(Described, APIView):
    """A provider's deployments and prices, brought up to what it tells of its models."""

    def permissions_wanted(self) -> list[str]:
        """As the admin's button."""
        return [
            permission(Provider, "change"),
            permission(routing.Deployment, "add"),
            permission(routing.Deployment, "change"),
        ]

    @extend_schema(request=SyncSerializer, responses=SyncedSerializer)
    def post(self, request: Request, slug: str) -> Response:
        """Ask the provider for its models: preview what would change, or write what is named of it."""
        wish = SyncSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        asked, now = wish.validated_data, datetime.now(UTC)
        row = None if "\0" in slug else Provider.objects.filter(slug=slug).first()
        if row is None:
            raise Http404
        may_price = request.user.has_perm("accounting.add_price")
        watch.note_use(row, "Asked for its models, with its credentials.")
        try:
            plan = look(
                row, Wish(tuple(asked.get("patterns", ())), asked["prices"] and may_price), now
            )
        except (GatewayError, model_sync.NothingTold) as error:
            raise UpstreamFailed(f"{row}: {getattr(error, 'message', error)}") from error
        done = model_sync.Applied(0, 0, 0)
        if "apply" in asked:
            wanted = set(asked["apply"])
            updates = [u for u in plan.updates if u.digest in wanted and u.what is not What.GONE]
            if len(updates) < len(wanted):
                raise Conflict("The provider tells something else now: look at the preview again.")
            done = model_sync.apply(row, updates, now=now, author=actors.current().name)
        return Response(
            {
                "updates": [
                    {"digest": u.digest, "model": u.model, "what": str(u.what.value)}
                    for u in plan.updates
                ],
                "kept_prices": list(plan.kept_prices),
                **dataclasses.asdict(done),
            }
        )
