"""Fields that take what their JSON type says and nothing that only looks like it: a number is no text, "yes" no truth."""

import json
import re
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

AMOUNT = re.compile(r"-?[0-9]+(\.[0-9]+)?")
NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class Text(serializers.CharField):
    """A string."""

    def to_internal_value(self, data: Any) -> str:
        """The text as it is, without blanks around it."""
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


@extend_schema_field(
    {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[-a-zA-Z0-9_]+$"}
)
class Slug(Text):
    """A short name; the model says what it is made of."""


class Whole(serializers.IntegerField):
    """A whole number."""

    def to_internal_value(self, data: Any) -> int:
        """The number."""
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return int(super().to_internal_value(data))


class Truth(serializers.BooleanField):
    """True or false."""

    def to_internal_value(self, data: Any) -> Any:
        """True, false, or null where the field may be unknown."""
        if not isinstance(data, bool) and not (data is None and self.allow_null):
            self.fail("invalid", input=data)
        return data


class Choice(serializers.ChoiceField):
    """One of some words."""

    def to_internal_value(self, data: Any) -> Any:
        """The word."""
        if not isinstance(data, str):
            self.fail("invalid_choice", input=data)
        return super().to_internal_value(data)


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"},
            {"type": "number"},
        ],
        "description": "Answered as a string with all digits; a number is taken, too.",
        "example": "0.25",
    }
)
class Amount(serializers.DecimalField):
    """An exact decimal: a string, so that no digit is lost on the way."""

    def to_internal_value(self, data: Any) -> Any:
        """The amount."""
        is_number = isinstance(data, int | float) and not isinstance(data, bool)
        is_text = isinstance(data, str) and len(data) < 60 and AMOUNT.fullmatch(data)
        if not is_number and not is_text:
            self.fail("invalid")
        return super().to_internal_value(data)

    def to_representation(self, value: Any) -> str:
        """Without the zeros that the column holds."""
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text


class Json(serializers.JSONField):
    """Anything that every database keeps as it came."""

    def to_internal_value(self, data: Any) -> Any:
        """The value."""
        try:
            text = json.dumps(data, allow_nan=False, ensure_ascii=False)
            text.encode()
        except (ValueError, RecursionError):
            self.fail("invalid")
        if NUL.search(text):
            self.fail("invalid")
        return data


@extend_schema_field({"type": "object", "additionalProperties": True})
class JsonObject(Json):
    """A JSON object."""

    def to_internal_value(self, data: Any) -> Any:
        """The object."""
        if not isinstance(data, dict):
            self.fail("invalid")
        return super().to_internal_value(data)


class Words(serializers.ListField):
    """A list of strings."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("child", Text(max_length=320))
        super().__init__(max_length=1000, **options)


@extend_schema_field(OpenApiTypes.STR)
class Named(serializers.SlugRelatedField):
    """Another row by the word that names it."""

    def to_internal_value(self, data: Any) -> Any:
        """The row. PostgreSQL takes no zero bytes, not even to look for."""
        if not isinstance(data, str) or "\0" in data:
            self.fail("invalid")
        return super().to_internal_value(data)


@extend_schema_field(OpenApiTypes.INT)
class Numbered(serializers.PrimaryKeyRelatedField):
    """Another row by its number."""

    def to_internal_value(self, data: Any) -> Any:
        """The row."""
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("incorrect_type", data_type=type(data).__name__)
        return super().to_internal_value(data)
