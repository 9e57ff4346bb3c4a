"""What all resources share: rows are read, made, changed and deleted by the rules of their models.

A change is one transaction in the audit trail's turn; one of routing becomes a version of its author's.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import orjson
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import QuerySet
from django.http import Http404
from rest_framework import serializers, status
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounting.audit import actors, trail
from accounting.models.money import UsdField
from llmgateway.api import access, fields, idempotency, query
from llmgateway.api.access import permission
from llmgateway.api.errors import PreconditionFailed, invalid, of_django, request_id_of
from routing import versions


class RowSerializer(serializers.ModelSerializer):
    """A row as JSON. What the model refuses is refused, with its fields; so is a member that is not known."""

    not_cleaned: ClassVar[tuple[str, ...]] = ()
    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.CharField: fields.Text,
        models.SlugField: fields.Slug,
        models.TextField: fields.Text,
        models.URLField: fields.Text,
        models.BooleanField: fields.Truth,
        models.IntegerField: fields.Whole,
        models.PositiveIntegerField: fields.Whole,
        models.PositiveSmallIntegerField: fields.Whole,
        models.PositiveBigIntegerField: fields.Whole,
        models.BigAutoField: fields.Whole,
        models.DecimalField: fields.Amount,
        models.JSONField: fields.Json,
    }
    serializer_choice_field = fields.Choice

    def build_standard_field(self, field_name: str, model_field: Any) -> Any:
        """The model says what is valid, once, for the admin and for this."""
        if isinstance(model_field, UsdField):
            kwargs = {"max_digits": 19, "decimal_places": 12, "help_text": model_field.help_text}
            if model_field.null:
                kwargs |= {"allow_null": True, "required": False}
            return fields.Amount, kwargs
        kind, kwargs = super().build_standard_field(field_name, model_field)
        kwargs.pop("validators", None)
        kwargs.pop("allow_unicode", None)
        return kind, kwargs

    def get_uniqueness_extra_kwargs(
        self, field_names: Any, declared: Any, extra_kwargs: Any
    ) -> Any:
        """None: the model tells of its own constraints."""
        del field_names, declared
        return extra_kwargs, {}

    def get_validators(self) -> list[Any]:
        """None, as above."""
        return []

    def to_internal_value(self, data: Any) -> Any:
        """The values; a member that is not known is refused, because it is most likely misspelt."""
        if isinstance(data, Mapping):
            unknown = sorted(set(map(str, data)) - set(self.fields))
            if unknown:
                known = ", ".join(
                    name for name, field in self.fields.items() if not field.read_only
                )
                raise invalid({name: [f"Not known here. Known are: {known}."] for name in unknown})
        return super().to_internal_value(data)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The values, where the row takes them."""
        row = self.instance or self.Meta.model()
        if self.instance is not None and not self.partial:
            self._begin_anew(row)
        for name, value in self.row_values(attrs).items():
            setattr(row, name, value)
        self.check(row, attrs)
        try:
            row.full_clean(exclude=self.not_cleaned)
        except ValidationError as error:
            raise of_django(error) from error
        self.row = row
        return attrs

    def _begin_anew(self, row: Any) -> None:
        """What a PUT leaves out has its first value again."""
        columns = {column.name: column for column in row._meta.concrete_fields}
        for field in self.fields.values():
            source = str(field.source)
            if not (field.read_only or field.write_only) and source in columns:
                setattr(row, source, columns[source].get_default())

    def row_values(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """What of the values is the row's own."""
        return attrs

    def check(self, row: Any, attrs: dict[str, Any]) -> None:
        """What beside the model's rules must hold."""

    def create(self, validated_data: dict[str, Any]) -> Any:
        """The row, saved."""
        return self.keep(self.row, validated_data)

    def update(self, instance: Any, validated_data: dict[str, Any]) -> Any:
        """The row, saved."""
        del instance
        return self.keep(self.row, validated_data)

    def keep(self, row: Any, attrs: dict[str, Any]) -> Any:
        """Save the row."""
        del attrs
        row.save()
        return row


class Described:
    """What the document and the permissions ask of every view of the API."""

    is_for_teams: ClassVar[bool] = False
    throttle_classes: ClassVar[list[Any]] = []
    permission_classes: ClassVar[list[Any]] = [access.MayCall]
    scopes: ClassVar[Mapping[str, str]] = {}
    query_fields: ClassVar[Mapping[str, Mapping[str, serializers.Field]]] = {}
    request: Request
    action: str | None

    def scope_wanted(self) -> str:
        """How far a token must reach for what is asked for."""
        default = access.READ if self.request.method in SAFE_METHODS else access.WRITE
        return self.scopes.get(getattr(self, "action", None) or "", default)

    def permissions_wanted(self) -> list[str]:
        """Which of Django's permissions staff must have."""
        return []

    def leads_may(self) -> bool:
        """Whether leads may change something here."""
        return False

    def fields_in_address(self) -> Mapping[str, serializers.Field]:
        """What may stand behind the ? of this action's address."""
        return self.query_fields.get(getattr(self, "action", None) or "", {})

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Who asks, whether they may, and what the address says."""
        super().initial(request, *args, **kwargs)
        self.asked = query.read(request, self.fields_in_address())

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        """With the request's id, and kept by no cache."""
        response = super().finalize_response(request, response, *args, **kwargs)
        response["x-request-id"] = request_id_of(request)
        response.setdefault("Cache-Control", "no-store")
        return response


class Rows(Described, GenericViewSet):
    """Rows of one model, to look at."""

    model: ClassVar[Any]
    verb_of: ClassVar[Mapping[str, str]] = {}
    filters: ClassVar[Mapping[str, query.Filter]] = {}
    volatile: ClassVar[frozenset[str]] = frozenset()
    pagination_class = query.Pages
    lookup_value_converter = "int"

    def get_queryset(self) -> QuerySet[Any]:
        """The rows that the person may see."""
        if getattr(self, "swagger_fake_view", False):  # while the document is made
            return self.rows().none()
        rows: QuerySet[Any] = self.rows()
        if not self.request.user.is_staff:
            rows = self.visible(rows)
        return rows

    def rows(self) -> QuerySet[Any]:
        """All rows, with what their JSON is made of."""
        rows: QuerySet[Any] = self.model._default_manager.all()
        return rows

    def visible(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """The rows that somebody who is not staff may see."""
        return rows.none()

    def permissions_wanted(self) -> list[str]:
        """By the method, or as ``verb_of`` says for the action."""
        verb = self.verb_of.get(self.action or "") or access.VERBS.get(str(self.request.method))
        return [permission(self.model, verb or "view")]

    def fields_in_address(self) -> Mapping[str, serializers.Field]:
        """Filters and pages, for lists."""
        if self.action != "list":
            return super().fields_in_address()
        named = {name: wanted.field for name, wanted in self.filters.items()}
        return {**named, **query.page_fields(self.pagination_class)}

    def list(self, request: Request) -> Response:
        """List those that you may see."""
        del request
        found = query.narrow(self.get_queryset(), self.filters, self.asked)
        page = self.paginate_queryset(found)
        context = {**self.get_serializer_context(), **self.list_context(page or [])}
        serializer = self.get_serializer_class()(page, many=True, context=context)
        return self.get_paginated_response(serializer.data)

    def list_context(self, page: Any) -> dict[str, Any]:
        """What is best looked up for all rows of a page together."""
        del page
        return {}

    def retrieve(self, request: Request, **_kwargs: Any) -> Response:
        """Get one."""
        del request
        return self.answer(self.get_object())

    def get_object(self) -> Any:
        """The row that the address names.

        Raises:
            Http404: there is none, or it is not theirs to see.
        """
        name = self.lookup_url_kwarg or self.lookup_field
        word = self.kwargs[name]
        if "\0" in str(word):  # PostgreSQL takes none, not even to look for
            raise Http404
        row = self.get_queryset().filter(**{self.lookup_field: word}).first()
        if row is None:
            raise Http404
        return row

    def answer(self, row: Any, code: int = status.HTTP_200_OK) -> Response:
        """The row with its tag."""
        data = self.get_serializer(row).data
        response = Response(data, status=code)
        response["ETag"] = self.tag_of(data)
        return response

    def tag_of(self, data: Mapping[str, Any]) -> str:
        """Tells this state of the row from any other; what changes by itself does not count."""
        steady = {name: value for name, value in data.items() if name not in self.volatile}
        told = orjson.dumps(steady, option=orjson.OPT_SORT_KEYS, default=str)
        return f'"{hashlib.sha256(told).hexdigest()[:32]}"'


class EditableRows(Rows):
    """Rows to make, change and delete, too. ``puts`` are made by PUT to the word that names them."""

    puts: ClassVar[bool] = False

    @contextmanager
    def change(self, what: str) -> Iterator[None]:
        """A transaction in which nobody else changes what is audited."""
        if self.model._meta.app_label == "routing":
            with versions.changes_by(actors.current().name, f"API: {what}."):
                yield
            return
        with transaction.atomic():
            trail.take_turn()
            yield

    def may_manage(self, row: Any) -> bool:
        """Whether a row that can be seen is theirs to change; for who is not staff."""
        del row
        return False

    def require_manage(self, row: Any) -> None:
        """Refuse who may only look."""
        if not self.request.user.is_staff and not self.may_manage(row):
            self.permission_denied(self.request, message=access.MayCall.message)

    def create(self, request: Request) -> Response:
        """Add one."""
        return idempotency.once(request, lambda: self.make(request.data))

    def make(self, data: Any, **fixed: Any) -> Response:
        """A new row."""
        with self.change(f"added {self.noun}"):
            serializer: Any = self.get_serializer(data=data)
            serializer.is_valid(raise_exception=True)
            self.require_manage(serializer.row)
            for name, value in fixed.items():
                setattr(serializer.row, name, value)
            return self.made(serializer.save())

    def made(self, row: Any) -> Response:
        """The answer to the making of a row."""
        response = self.answer(self.reread(row), status.HTTP_201_CREATED)
        response["Location"] = f"{self.root}{getattr(row, self.lookup_field)}/"
        return response

    def reread(self, row: Any) -> Any:
        """The row as the database has it, with all that its JSON is made of."""
        return self.rows().get(pk=row.pk)

    @property
    def root(self) -> str:
        """The address of the list."""
        path = self.request.path
        return path if self.action == "create" else path.rstrip("/").rpartition("/")[0] + "/"

    @property
    def noun(self) -> str:
        """What the rows are, in a word."""
        return str(self.model._meta.verbose_name)

    def update(self, request: Request, **_kwargs: Any) -> Response:
        """Replace one: what is left out gets its first value."""
        with self.change(f"changed {self.noun}"):
            try:
                row = self.get_object()
            except Http404:
                if not self.puts:
                    raise
                return self._put_new(request)
            return self._save(row, self._with_word(request.data), partial=False)

    def partial_update(self, request: Request, **_kwargs: Any) -> Response:
        """Change some members of one."""
        with self.change(f"changed {self.noun}"):
            return self._save(self.get_object(), request.data, partial=True)

    def destroy(self, request: Request, **_kwargs: Any) -> Response:
        """Delete one, with what belongs to it."""
        del request
        with self.change(f"deleted {self.noun}"):
            row = self.get_object()
            self.require_manage(row)
            self.check_match(row)
            self.remove(row)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def remove(self, row: Any) -> None:
        """Delete the row."""
        row.delete()

    def _save(self, row: Any, data: Any, *, partial: bool) -> Response:
        self.require_manage(row)
        serializer: Any = self.get_serializer(row, data=data, partial=partial)
        serializer.is_valid(raise_exception=True)
        # Behind all that is wrong with the request itself (RFC 9110, section 13.2.1).
        self.check_match(row)
        self.require_manage(serializer.row)
        return self.answer(self.reread(serializer.save()))

    def _put_new(self, request: Request) -> Response:
        if not request.user.is_staff:
            raise Http404
        if not request.user.has_perm(permission(self.model, "add")):
            self.permission_denied(request, message=access.MayCall.message)
        serializer: Any = self.get_serializer(data=self._with_word(request.data))
        serializer.is_valid(raise_exception=True)
        if request.headers.get("If-Match"):
            raise PreconditionFailed
        return self.made(serializer.save())

    def _with_word(self, data: Any) -> Any:
        """PUT names its row in the address, where rows have a word for a name; PATCH renames."""
        if not self.puts or not isinstance(data, Mapping):
            return data
        word = self.kwargs[self.lookup_url_kwarg or self.lookup_field]
        if data.get(self.lookup_field, word) != word:
            message = f"The address says {word!r}. Rename with PATCH."
            raise invalid({self.lookup_field: [message]})
        return {**data, self.lookup_field: word}

    def check_match(self, row: Any) -> None:
        """Refuse a change of what the client has not seen, where it says what it has."""
        header = self.request.headers.get("If-Match")
        if header is None or header.strip() == "*":
            return
        seen = {tag.strip() for tag in header.split(",")}
        if self.tag_of(self.get_serializer(self.reread(row)).data) not in seen:
            raise PreconditionFailed
