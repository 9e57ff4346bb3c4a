"""The form that the answer must have: ``response_format``."""

from typing import Any

from conversion.anthropic_over_openai.reading import as_object, write_json
from conversion.errors import RequestInvalid
from conversion.openai_over_anthropic.reading import Block, Reading
from conversion.openai_over_anthropic.schemas import FITTED, fit_schema

JSON_ONLY = "Answer with one JSON object and nothing else: no words around it, no code fence."
JSON_OF_SCHEMA = "Answer with JSON that is valid against the schema below and nothing else: no words around it, no code fence."


def write_format(
    body: dict[str, Any], request: dict[str, Any], system: list[Block], reading: Reading
) -> None:
    """Put the form into ``output_config``, or an instruction at the end of the system prompt.

    Anthropic's page on structured outputs, read August 2026: a schema, and no form without one.
    """
    wanted = as_object(body.get("response_format"), "response_format")
    kind = wanted.get("type")
    if not wanted or kind == "text":
        return
    if kind == "json_object":
        system.append({"type": "text", "text": JSON_ONLY})
        reading.report.mapped("response_format", "sent as an instruction in the system prompt")
        return
    if kind != "json_schema":
        raise RequestInvalid(
            "Input should be 'text', 'json_object' or 'json_schema'", path="response_format.type"
        )
    path = "response_format.json_schema"
    given = as_object(wanted.get("json_schema"), path)
    schema = given.get("schema")
    if not isinstance(schema, dict):
        raise RequestInvalid("Field required: a JSON schema", path=f"{path}.schema")
    if reading.traits.structured_output:
        fitted = fit_schema(schema, f"{path}.schema")
        if fitted != schema:
            reading.report.mapped(f"{path}.schema", FITTED)
        request["output_config"] = {"format": {"type": "json_schema", "schema": fitted}}
        if given.get("description"):
            reading.report.dropped(f"{path}.description", "a form has no description")
        return
    text = write_json(schema, f"{path}.schema").decode()
    words = [JSON_OF_SCHEMA, given.get("description"), text]
    told = "\n\n".join(word for word in words if isinstance(word, str))
    system.append({"type": "text", "text": told})
    reading.report.mapped("response_format", "sent as an instruction in the system prompt")
