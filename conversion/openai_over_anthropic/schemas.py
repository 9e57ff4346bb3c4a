"""JSON schemas within the part of the language that Anthropic can hold a model to.

Anthropic turns the schema of a form, or of a strict tool, into a grammar, and answers 400 to what no grammar says: ranges of
numbers, lengths, objects open to further members (its page on structured outputs, August 2026; agentjido/req_llm#302 has
the words). Its own SDK moves such words into the description, where the model may still read them, and closes all objects
(anthropic 2.11.0, ``lib/_parse/_transform.py``); so does this module.
"""

from typing import Any

from conversion.errors import RequestInvalid

Schema = dict[str, Any]

DEPTH_MAX = 120
"""Levels of schemas in schemas; each is two of JSON, of which 254 can be written."""
UNSAID = frozenset(
    {
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength",
        "maxItems", "uniqueItems", "contains", "minContains", "maxContains", "minProperties", "maxProperties",
        "patternProperties", "propertyNames",
    }
)  # fmt: skip
FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
FITTED = "what this target cannot be held to is told in descriptions, and all objects are closed"
NAMED = ("properties", "$defs", "definitions")
LISTED = ("anyOf", "oneOf", "allOf")


def fit_schema(schema: Schema, path: str) -> Schema:
    """The schema as Anthropic takes it; equal to what was given where that is already so.

    Raises:
        RequestInvalid: it is nested too deeply.
    """
    fitted: Schema = _fit(schema, path, depth=0)
    return fitted


def _fit(schema: Any, path: str, *, depth: int) -> Any:
    if not isinstance(schema, dict):  # true and false are schemas too
        return schema
    if depth > DEPTH_MAX:
        raise RequestInvalid("nested too deeply to be sent on", path=path)
    fitted: Schema = {}
    unsaid: Schema = {}
    for name, value in schema.items():
        if _is_unsaid(name, value):
            unsaid[name] = value
        elif name in NAMED and isinstance(value, dict):
            fitted[name] = {key: _fit(it, path, depth=depth + 1) for key, it in value.items()}
        elif name in LISTED and isinstance(value, list):
            fitted["anyOf" if name == "oneOf" else name] = [
                _fit(it, path, depth=depth + 1) for it in value
            ]
        elif name == "items":
            fitted[name] = _fit(value, path, depth=depth + 1)
        else:
            fitted[name] = value
    if _is_object(schema):
        fitted["additionalProperties"] = False
    if unsaid:
        words = "{" + ", ".join(f"{name}: {value}" for name, value in unsaid.items()) + "}"
        told = schema.get("description")
        fitted["description"] = f"{told}\n\n{words}" if isinstance(told, str) else words
    return fitted


def _is_unsaid(name: str, value: Any) -> bool:
    if name == "minItems":
        return value not in (0, 1)
    if name == "format":
        return not isinstance(value, str) or value not in FORMATS
    return name in UNSAID


def _is_object(schema: Schema) -> bool:
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)
